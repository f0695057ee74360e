"""Audio files and waveforms: loading, checking, writing; the only conversion between seconds and samples.

A model gets exactly the audio that its manifest names: a file that is missing, empty, damaged, cut, too long, silent,
off the scale, stereo or at another sampling rate is refused with an error, and never repaired silently.
`load_audio(convert=True)` accepts files of another form: it mixes channels down and resamples. Every file is opened
here, by its content; its name and header are not trusted (see `cogrl.containers`).
"""

import functools
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from cogrl.atomic import atomic_write
from cogrl.audio_facts import AudioFacts
from cogrl.containers.opened import check_last_sample, decoded, ffmpeg_line, label_of, opened
from cogrl.types import Waveform

SHORTEST_S = 0.02
LOUDEST = 4.0
"""The highest peak of a float file, 12 dB over full scale: mixes, lossy decoders and resampling overshoot by less.
Integers that were saved as floats lie far beyond, but for those that would be next to silent."""
_STEP = 2.0**-15
"""One step of 16 bits."""
_CANCELLED = 0.01
"""Channels cancel each other out when their mix has less than this share (-40 dB) of the level of the loudest."""
SilentClips = Literal["refuse", "keep"]
_KNOWN: dict[Path, AudioFacts] = {}


@dataclass(frozen=True)
class AudioInfo:
    """Length and form of an audio file. `frames` are those that are there, whatever the header says."""

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
    """The true length and the form of `path`; only its last sample is decoded, and nothing where its facts are known.

    Raises FileNotFoundError, another OSError or ValueError, naming `name` (a sample id or file:line), for a file that
    is missing, can not be read, is no audio, or is cut.
    """
    try:
        stamp = file_stamp(path)
        return _known_info(Path(path), stamp) or _info(Path(path), stamp)
    except (OSError, ValueError) as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error


@functools.lru_cache(maxsize=100_000)
def _info(path: Path, stamp: tuple[int, int] | None) -> AudioInfo:
    """The form of a file, read again only when its size or time stamp changes."""
    label = label_of(path)
    with opened(path, label) as sound:
        info = AudioInfo(sound.frames, sound.samplerate, sound.channels)
        if sound.format == "FLAC" and info.frames:  # its number of samples does not show where the last frame ends
            check_last_sample(sound, label)
    return info


def know(source: Path, facts: AudioFacts) -> None:
    """From now on `audio_info` takes what it is asked from `facts`, where a file is still what it was.

    `source` names where they are from; later facts of the same source take their place.
    """
    _KNOWN[source] = facts


def _known_info(path: Path, stamp: tuple[int, int] | None) -> AudioInfo | None:
    rows = (facts.current(path, stamp) for facts in _KNOWN.values())
    return next((info_of(row) for row in rows if row is not None), None)


def info_of(row: np.void) -> AudioInfo:
    """The length and the form in a row of `AudioFacts`."""
    return AudioInfo(int(row["frames"]), int(row["sampling_rate"]), int(row["channels"]))


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in ns; None for what can not be looked at."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def load_audio(
    path: Path,
    sampling_rate: int = 16000,
    max_s: float | None = None,
    expected_s: float | None = None,
    name: str = "",
    convert: bool = False,
    silent_clips: SilentClips = "refuse",
) -> Waveform:
    """Mono float32 samples at `sampling_rate`, from any format libsndfile reads.

    `convert=True` mixes channels down (mean) and resamples (soxr, high quality); by default such files are refused.
    Raises FileNotFoundError for a missing file, another OSError for one that can not be read, and ValueError, naming
    path, `name` and a remedy, for a file that is empty, undecodable, cut (fewer samples than its header promises),
    shorter than 20 ms or longer than `max_s` (never cut), that holds NaN, infinity or peaks beyond `LOUDEST`, whose
    duration differs from `expected_s` by more than 5 % + 20 ms, or that is silent, by itself or because its channels
    cancel each other out, unless `silent_clips` is "keep".
    """
    path = Path(path)
    label = label_of(path, name)
    with opened(path, label) as sound:
        header = AudioInfo(sound.frames, sound.samplerate, sound.channels)
        check_header(header, path, label, sampling_rate, max_s, expected_s, convert)
        samples = decoded(sound, label)
    waveform = samples.mean(axis=1) if header.channels > 1 else samples[:, 0]
    _check_scale(samples, label)
    if silent_clips == "refuse":
        _check_audible(samples, waveform, label)
    rate = header.sampling_rate
    return waveform if rate == sampling_rate else soxr.resample(waveform, rate, sampling_rate)


def decode_audio(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """Float32 samples (n, channels) and the sampling rate of an audio file's bytes, in any format libsndfile reads.

    Raises ValueError, naming `name`, for what is no audio, is cut, empty, off the scale, or holds NaN or infinity.
    """
    with opened(content, name) as sound:
        samples, rate = decoded(sound, name), sound.samplerate
    if len(samples) == 0:
        raise ValueError(f"{name}: holds no samples")
    _check_scale(samples, name)
    return samples, rate


def has_sound(path: Path, name: str = "") -> bool:
    """Whether a file lasts at least `SHORTEST_S` and, mixed down, is not silent. Raises what `load_audio` does else."""
    header = audio_info(path, name)
    if header.duration_s < SHORTEST_S:
        return False
    return not _silent(load_audio(path, header.sampling_rate, name=name, convert=True, silent_clips="keep"))


def check_header(
    header: AudioInfo,
    path: Path,
    label: str,
    sampling_rate: int,
    max_s: float | None = None,
    expected_s: float | None = None,
    convert: bool = False,
) -> None:
    """What `load_audio` refuses by the form and the length of a file: a ValueError that names `label` and a remedy."""
    if not convert:
        _check_form(header, sampling_rate, path, label)
    _check_duration(header, label, max_s, expected_s)


def _check_form(header: AudioInfo, sampling_rate: int, path: Path, label: str) -> None:
    by_cogrl = "when it is read with data.convert: true (cogrl evaluate: --convert)"
    once = f"or once: {ffmpeg_line(path, sampling_rate)}"
    if header.channels != 1:
        raise ValueError(f"{label}: has {header.channels} channels, not 1; mix them down {by_cogrl}, {once}")
    if header.sampling_rate != sampling_rate:
        raise ValueError(
            f"{label}: is sampled at {header.sampling_rate} Hz, the model hears {sampling_rate} Hz; resample it "
            f"{by_cogrl}, {once}"
        )


def _check_duration(header: AudioInfo, label: str, max_s: float | None, expected_s: float | None) -> None:
    duration_s = header.duration_s
    if header.frames == 0:
        raise ValueError(f"{label}: holds no samples; replace the file or drop it")
    if expected_s is not None and abs(duration_s - expected_s) > 0.05 * expected_s + 0.02:
        raise ValueError(
            f"{label}: lasts {duration_s:.3f} s, the manifest says {expected_s:.3f} s (a truncated file?); "
            "replace the file or correct duration_s"
        )
    if duration_s < SHORTEST_S:
        raise ValueError(f"{label}: lasts {1000 * duration_s:.0f} ms, less than {1000 * SHORTEST_S:.0f} ms; drop it")
    if max_s is not None and duration_s > max_s:
        raise ValueError(
            f"{label}: lasts {duration_s:.2f} s, the limit is {max_s:g} s; cut it into segments or, as far as the "
            "policy's window goes, raise data.max_s"
        )


def _check_scale(samples: np.ndarray, label: str) -> None:
    low, high = samples.min(initial=0), samples.max(initial=0)  # NaN where there is any
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(samples)).any(axis=1).sum())
        raise ValueError(f"{label}: {bad} samples are NaN or infinite; replace the file or drop it")
    if max(-low, high) > LOUDEST:
        raise ValueError(
            f"{label}: peaks at {max(-low, high):g}, sound lies in [-1, 1] (integers saved as floats?); divide the "
            "samples by full scale, 32768 for 16 bits, and write the file again"
        )


def _silent(waveform: Waveform) -> bool:
    return bool(np.ptp(waveform) <= 2 * _STEP)


def _check_audible(samples: np.ndarray, waveform: Waveform, label: str) -> None:
    reason, channels = None, samples.shape[1]
    loudest = samples.std(axis=0).max() if channels > 1 else 0
    if loudest > _STEP and waveform.std() < _CANCELLED * loudest:
        reason = f"mixes to silence, its {channels} channels cancel each other out (opposite phase?); use one of them"
    elif _silent(waveform):
        reason = f"is silent, all samples lie within {np.ptp(waveform):.1g}; drop it"
    if reason is not None:
        keep = "data.silent_clips: keep (cogrl evaluate and generate: --silent-clips keep)"
        raise ValueError(f"{label}: {reason}, or have it heard as it is with {keep}")


def wav_bytes(waveform: Waveform, sampling_rate: int, subtype: Literal["PCM_16", "FLOAT"] = "PCM_16") -> bytes:
    """The clip as a WAV file, of 16 bits (what lies beyond [-1, 1] is clipped), or FLOAT: the very samples."""
    file = io.BytesIO()
    soundfile.write(file, waveform, sampling_rate, format="WAV", subtype=subtype)
    return file.getvalue()


def write_flac(path: Path, waveform: Waveform, sampling_rate: int) -> None:
    """16-bit FLAC without tags, complete or absent.

    Raises ValueError for samples that are not mono, not finite or beyond [-1, 1], which would be clipped.
    """
    if waveform.ndim != 1 or not np.isfinite(waveform).all() or np.abs(waveform).max(initial=0) > 1:
        raise ValueError(f"{path}: needs finite mono samples in [-1, 1], got shape {waveform.shape}")
    with atomic_write(path) as unfinished:
        soundfile.write(unfinished, waveform, sampling_rate, format="FLAC", subtype="PCM_16")
