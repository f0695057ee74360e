"""Audio Flamingo 3: log-mel frames -> Whisper-style encoder (one token per 40 ms) -> Qwen2. (arXiv:2507.08128)

A clip longer than the encoder's window of 30 s is read window by window, each by itself, and the frames of all of them
stand side by side: as the model was trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AudioFlamingo3Encoder, AudioFlamingo3ForConditionalGeneration, AudioFlamingo3Processor
from transformers.modeling_outputs import BaseModelOutput

from cogrl.models.audio_lm import AudioLM
from cogrl.models.audio_window import AudioWindow, read_window
from cogrl.models.emotion import refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.whisper_tower import OwnLength, log_mels, own_length
from cogrl.models.windows import side_by_side, whole_clips, windows_of
from cogrl.types import Waveform


class FlamingoEncoder(OwnLength, AudioFlamingo3Encoder):
    """Audio Flamingo 3's encoder over log-mels shorter than its window, too; it is told which mels are real."""

    def forward(
        self,
        input_features: Float[Tensor, "c m n"],
        attention_mask: Tensor | None = None,
        input_features_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """The states of each clip; by `attention_mask`, or as transformers' own model calls it."""
        if input_features_mask is not None:
            frames, _ = self._get_feat_extract_output_lengths(input_features_mask.sum(-1))
            attention_mask = self.mask_of(input_features, frames)
        return super().forward(input_features, attention_mask, **kwargs)


class AudioFlamingo(AudioLM):
    """`AudioFlamingo3ForConditionalGeneration` of any size, from a local folder."""

    model_types, model_class = ("audioflamingo3",), AudioFlamingo3ForConditionalGeneration

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, self.model_types)
        refuse_silent_loss(path)
        model = own_length(self.read_weights(self.model_class, dtype), FlamingoEncoder)
        model.model.audio_tower.embed_positions.requires_grad_(False)  # sinusoids, never trained
        return model, AudioFlamingo3Processor.from_pretrained(path)

    @classmethod
    def window_of(cls, path: str | Path) -> AudioWindow:
        """As many whole windows as the processor would read; it cuts what is longer."""
        one = read_window(path)
        most_s = AudioFlamingo3Processor.from_pretrained(path).max_audio_len
        return AudioWindow(one.sampling_rate, most_s // one.longest_s * one.longest_s)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        extractor = self.processor.feature_extractor
        windows = [
            [waveform[start : start + extractor.n_samples] for start in range(0, len(waveform), extractor.n_samples)]
            for waveform in waveforms
        ]
        tensors = log_mels(extractor, [window for clip in windows for window in clip])
        counts = [len(clip) for clip in windows]
        return {name: side_by_side(value, counts) for name, value in tensors.items()}

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        extractor = self.processor.feature_extractor
        whole, rest = samples // extractor.n_samples, samples % extractor.n_samples
        mels = torch.stack([torch.full_like(rest, extractor.nb_max_frames), -(-rest // extractor.hop_length)])
        window, last = self.audio_tower._get_feat_extract_output_lengths(mels)[1]
        return whole * window + last

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        windows = windows_of(audio, self.processor.feature_extractor.nb_max_frames)
        frames, counts = self.audio_tower._get_feat_extract_output_lengths(windows.real.sum(-1))
        embeds = self.model.model.multi_modal_projector(self.audio_tower.encoded(windows.features, frames))
        return whole_clips(embeds, counts, windows.clip, len(audio["input_features"]))
