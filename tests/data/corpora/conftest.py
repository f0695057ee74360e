"""Real wav files for tiny folders in the official layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def wav() -> Callable[..., Path]:
    """`wav(path, seconds=0.2, rate=16_000, channels=1)`: a tone, folders made as needed."""

    def write(path: Path, seconds: float = 0.2, rate: int = 16_000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(np.arange(round(rate * seconds)) / 20).astype(np.float32) / 4
        soundfile.write(path, np.repeat(tone[:, None], channels, 1), rate)
        return path

    return write


@pytest.fixture
def written(tmp_path: Path) -> Callable:
    """`written(reading)`: the splits as the manifests say, and the card."""
    from cogrl.data.audio_check import check_audio_files
    from cogrl.data.corpora.corpus import write_corpus
    from cogrl.data.manifest import read_manifest

    def build(reading, convert: bool = False) -> tuple[dict, str]:
        card = write_corpus(reading, tmp_path / "built" / "out")
        splits = {path.stem: read_manifest(path) for path in sorted((tmp_path / "built" / "out").glob("*.jsonl"))}
        for examples in splits.values():
            check_audio_files(examples, convert=convert)
        return splits, card

    return build
