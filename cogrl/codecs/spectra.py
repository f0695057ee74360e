"""Log-mel spectrograms with enough resolution for a pitch, and back: Griffin-Lim with momentum.

(Griffin & Lim 1984; Perraudin, Balazs & Sondergaard 2013, the fast form)
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

WINDOW, HOP = 1024, 160
"""Samples, at 16 kHz 64 ms and 10 ms: harmonics of a low voice are apart."""
FLOOR = 1e-5
ITERATIONS, MOMENTUM = 32, 0.99


def filters(mel_bins: int, sampling_rate: int) -> Float[Tensor, "bins mels"]:
    """The weight of each frequency in each mel band."""
    found = mel_filter_bank(WINDOW // 2 + 1, mel_bins, 0.0, sampling_rate / 2, sampling_rate, "slaney", "slaney")
    return torch.tensor(found, dtype=torch.float32)


def magnitudes(samples: Float[Tensor, " n"]) -> Float[Tensor, "f bins"]:
    return transform(samples).abs().T


def transform(samples: Float[Tensor, " n"]) -> Tensor:
    return torch.stft(samples, WINDOW, HOP, window=window(samples), center=True, return_complex=True)


def window(like: Tensor) -> Float[Tensor, " n"]:
    return torch.hann_window(WINDOW, device=like.device)


def log_mels(samples: Float[Tensor, " n"], bank: Float[Tensor, "bins mels"]) -> Float[Tensor, "f mels"]:
    """Natural logarithms, one frame every `HOP` samples; the last one holds what is left."""
    return (magnitudes(samples) @ bank).clamp(min=FLOOR).log()


def from_log_mels(mels: Float[Tensor, "f mels"], bank: Float[Tensor, "bins mels"], samples: int) -> Float[Tensor, " n"]:
    """A waveform of so many samples with about these log-mels; the phases are found by Griffin-Lim, from zero."""
    target = unmixed(mels.exp(), bank).T
    angles, before = torch.ones_like(target, dtype=torch.complex64), None
    for _ in range(ITERATIONS):
        found = transform(inverse(target * angles, samples))
        ahead = found if before is None else found + MOMENTUM * (found - before)
        angles, before = ahead / ahead.abs().clamp(min=1e-8), found
    return inverse(target * angles, samples)


def inverse(spectrum: Tensor, samples: int) -> Float[Tensor, " n"]:
    return torch.istft(spectrum, WINDOW, HOP, window=window(spectrum.real), center=True, length=samples)


def unmixed(mels: Float[Tensor, "f mels"], bank: Float[Tensor, "bins mels"]) -> Float[Tensor, "f bins"]:
    """Magnitudes that are not negative and have these mels, by multiplicative updates. (Lee & Seung 2001)"""
    spread = bank / bank.sum(0, keepdim=True).clamp(min=1e-8)
    found = (mels @ spread.T).clamp(min=1e-8)
    for _ in range(20):
        found = found * (mels @ bank.T) / (found @ bank @ bank.T).clamp(min=1e-8)
    return found
