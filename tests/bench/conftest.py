"""Small problems and one thread for the tests of the benchmarks."""

from dataclasses import replace

import pytest
import torch
from cogrl_bench.operation import Head, Setting


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def setting():
    """`setting(tokens=..., ...)`: 60 tokens of 4 rollouts under a head of 24 x 301, float32, unless said otherwise."""
    small = Setting(60, Head(24, 301), torch.device("cpu"), torch.float32, rollouts=4)
    return lambda **changes: replace(small, **changes)
