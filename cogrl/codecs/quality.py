"""How much of a clip a codec keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from time import perf_counter

import torch

from cogrl.codecs import spectra
from cogrl.codecs.codec import Codec
from cogrl.types import Waveform

_BINS = 80
_SILENCE_DB = 60.0


def log_spectral_distance(original: Waveform, rebuilt: Waveform, sampling_rate: int) -> float:
    """In dB: the root mean square over mel bands of the difference in level, mean over the frames of the original.

    Frames that are more than 60 dB below the loudest one are left out. Raises ValueError for a rebuilt clip that is
    shorter than the original.
    """
    if len(rebuilt) < len(original):
        raise ValueError(f"the rebuilt clip has {len(rebuilt)} samples, the original {len(original)}")
    bank = spectra.filters(_BINS, sampling_rate)
    clips = (torch.as_tensor(clip[: len(original)], dtype=torch.float32) for clip in (original, rebuilt))
    one, other = (spectra.log_mels(clip, bank) * 20 / log(10) for clip in clips)
    level = one.amax(1)
    distances = (one - other).square().mean(1).sqrt()
    return distances[level > level.max() - _SILENCE_DB].mean().item()


@dataclass(frozen=True)
class Quality:
    """Means over clips: `distance_db` is the log-spectral distance, `real_time_factor` of coding and decoding (below 1:
    faster than speech) on this machine, `bits_a_second` what the units take."""

    clips: int
    distance_db: float
    real_time_factor: float
    bits_a_second: float


def measured(codec: Codec, clips: Sequence[Waveform]) -> Quality:
    """The quality of a codec on clips at its own sampling rate."""
    began = perf_counter()
    rebuilt = codec.decode(codec.encode(clips, codec.sampling_rate), codec.fingerprint)
    took = perf_counter() - began
    rate = codec.sampling_rate
    distances = [log_spectral_distance(*pair, rate) for pair in zip(clips, map(_long, rebuilt, clips), strict=True)]
    bits = codec.frame_rate * codec.codebooks * log(codec.size, 2)
    seconds = sum(map(len, clips)) / rate
    return Quality(len(clips), sum(distances) / len(distances), took / seconds, bits)


def _long(rebuilt: Waveform, original: Waveform) -> Waveform:
    """The rebuilt clip, continued by silence where the codec has left a part of a frame out."""
    missing = max(0, len(original) - len(rebuilt))
    return torch.nn.functional.pad(torch.as_tensor(rebuilt), (0, missing)).numpy()
