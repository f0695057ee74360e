"""A policy with something to be unsure of, for the tests of the engine and of the controllers."""

import pytest
from interruptions import sharpened


@pytest.fixture
def sharp(policy, monkeypatch):
    """The tiny Qwen2-Audio, `sharpened`."""
    return sharpened(policy, monkeypatch)
