"""The audio input of a policy: its sampling rate and the length of its window, known without its weights."""

from dataclasses import dataclass
from pathlib import Path

from transformers import WhisperFeatureExtractor

SHORTEST_S = 0.1


@dataclass(frozen=True)
class AudioWindow:
    """`sampling_rate` in Hz; `longest_s` is the longest clip that is heard whole, in seconds."""

    sampling_rate: int
    longest_s: float

    def length_error(self, seconds: float) -> str | None:
        """Why a clip of this length does not fit into the window, and what to do; None when it does."""
        if SHORTEST_S <= seconds <= self.longest_s:
            return None
        return (
            f"{seconds:.2f} s of audio; this model hears {SHORTEST_S:g} to {self.longest_s:g} s and cogrl never cuts a "
            "clip: split it, or use a model with a longer window"
        )


def read_window(folder: str | Path) -> AudioWindow:
    """The encoder's window of the model in a Hugging Face folder, from the settings of its feature extractor alone."""
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    return AudioWindow(extractor.sampling_rate, extractor.n_samples / extractor.sampling_rate)
