"""Audio files and waveforms: loading, checking, writing; the only conversion between seconds and samples.

What a model hears is what its manifest names: a file that is missing, empty, damaged, cut, too long, stereo or at
another sampling rate is refused, never repaired in silence. `load_audio(convert=True)` is the explicit way in for
foreign files: it mixes channels down and resamples.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from cogrl.types import Waveform

SHORTEST_S = 0.02
_CONVERT = "convert it first, e.g.: ffmpeg -i IN -ac 1 -ar {rate} OUT.flac"


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file."""

    frames: int
    sampling_rate: int
    channels: int

    @property
    def duration_s(self) -> float:
        return self.frames / self.sampling_rate


def to_samples(seconds: float, sampling_rate: int) -> int:
    """The nearest sample index."""
    return round(seconds * sampling_rate)


def to_seconds(samples: int, sampling_rate: int) -> float:
    """Exact: samples / rate."""
    return samples / sampling_rate


def audio_info(path: Path, name: str = "") -> AudioInfo:
    """The header of `path`. Raises FileNotFoundError or ValueError, naming `name` (a sample id or file:line)."""
    label = _label(path, name)
    if not path.is_file():
        raise FileNotFoundError(f"{label}: no such audio file; rebuild the corpus or correct the manifest")
    try:
        header = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        size = path.stat().st_size
        raise ValueError(f"{label}: cannot be decoded ({size} bytes; {error}); replace the file or drop it") from error
    return AudioInfo(header.frames, header.samplerate, header.channels)


def load_audio(
    path: Path,
    sampling_rate: int = 16000,
    max_s: float | None = None,
    expected_s: float | None = None,
    name: str = "",
    convert: bool = False,
) -> Waveform:
    """Mono float32 samples at `sampling_rate`, from any format libsndfile reads.

    `convert=True` mixes channels down (mean) and resamples (soxr, high quality); by default such files are refused.
    Raises FileNotFoundError for a missing file, and ValueError, naming path, `name` and a remedy, for a file that is
    empty, undecodable, shorter than 20 ms or longer than `max_s` (never cut), that holds NaN or infinity, or whose
    duration differs from `expected_s` by more than 5 % + 20 ms (a truncated file).
    """
    path = Path(path)
    label = _label(path, name)
    header = audio_info(path, name)
    if not convert:
        if header.channels != 1:
            raise ValueError(f"{label}: has {header.channels} channels, not 1; {_CONVERT.format(rate=sampling_rate)}")
        if header.sampling_rate != sampling_rate:
            raise ValueError(
                f"{label}: is sampled at {header.sampling_rate} Hz, the model hears {sampling_rate} Hz; "
                + _CONVERT.format(rate=sampling_rate)
            )
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{label}: damaged audio data ({error}); replace the file or drop it") from error
    waveform = samples.mean(axis=1)
    _check_samples(waveform, rate, label, max_s, expected_s)
    return waveform if rate == sampling_rate else soxr.resample(waveform, rate, sampling_rate)


def _check_samples(
    waveform: Waveform, sampling_rate: int, label: str, max_s: float | None, expected_s: float | None
) -> None:
    duration_s = to_seconds(len(waveform), sampling_rate)
    if len(waveform) == 0:
        raise ValueError(f"{label}: holds no samples; replace the file or drop it")
    if not np.isfinite(waveform).all():
        bad = int((~np.isfinite(waveform)).sum())
        raise ValueError(f"{label}: {bad} samples are NaN or infinite; replace the file or drop it")
    if expected_s is not None and abs(duration_s - expected_s) > 0.05 * expected_s + 0.02:
        raise ValueError(
            f"{label}: lasts {duration_s:.3f} s, the manifest says {expected_s:.3f} s (a truncated file?); "
            "replace the file or correct duration_s"
        )
    if duration_s < SHORTEST_S:
        raise ValueError(f"{label}: lasts {1000 * duration_s:.0f} ms, less than {1000 * SHORTEST_S:.0f} ms; drop it")
    if max_s is not None and duration_s > max_s:
        raise ValueError(
            f"{label}: lasts {duration_s:.2f} s, the limit is {max_s:g} s; cut it into segments or raise the limit"
        )


def write_flac(path: Path, waveform: Waveform, sampling_rate: int) -> None:
    """16-bit FLAC without tags, written beside `path` and moved into place: a reader never sees half a file.

    Raises ValueError for samples that are not mono, not finite or beyond [-1, 1], which would be clipped.
    """
    if waveform.ndim != 1 or not np.isfinite(waveform).all() or np.abs(waveform).max(initial=0) > 1:
        raise ValueError(f"{path}: needs finite mono samples in [-1, 1], got shape {waveform.shape}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        soundfile.write(temporary, waveform, sampling_rate, format="FLAC", subtype="PCM_16")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _label(path: Path, name: str) -> str:
    return f"{name}: {path}" if name else str(path)
