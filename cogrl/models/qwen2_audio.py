"""Qwen2-Audio: log-mel frames -> Whisper-style encoder (one token per 40 ms) -> Qwen2. (arXiv:2407.10759)"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from cogrl.models.audio_lm import AudioLM
from cogrl.models.conv_adapter import AdapterSettings, ConvAdapter, adapter_of
from cogrl.models.emotion import EmotionModule, EmotionSettings, refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.frame_pooling import KEY, checked_pooling, pooled, pooled_counts, with_pooling
from cogrl.models.kept_states import KeptStates
from cogrl.models.whisper_tower import log_mels, own_length
from cogrl.types import Waveform


class Qwen2Audio(AudioLM):
    """`Qwen2AudioForConditionalGeneration` of any size, from a local folder.

    Args:
        emotion: adds the embedding of an emotion encoder to every audio frame; see `cogrl.models.emotion`.
        first_pass_pooling: how many frames of a prompt's clip the language model reads as one, their mean; clips that
            are inserted are read frame by frame. None: what the folder's config.json says, which `save` writes.
        adapter: a convolutional adapter in place of the projector, see `cogrl.models.conv_adapter`; None: the one that
            the folder holds, where it does.
        keep_states_mb: so many megabytes of what a frozen encoder makes of clips are kept for later batches, steps and
            rollouts, see `KeptStates`; None: every batch is encoded.

    Raises ValueError for a pooling that is no number of frames or stands beside an adapter, and for states kept of an
    encoder that trains.
    """

    model_types, model_class = ("qwen2_audio",), Qwen2AudioForConditionalGeneration

    def __init__(
        self,
        path: str,
        emotion: EmotionSettings | None = None,
        first_pass_pooling: int | None = None,
        keep_states_mb: float | None = None,
        adapter: AdapterSettings | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(path, **shared)
        if keep_states_mb is not None and self.train_audio_tower:
            raise ValueError(
                f"policy.keep_states_mb={keep_states_mb} keeps what a frozen audio encoder makes of a clip; set "
                "policy.train_audio_tower: false, or leave keep_states_mb out"
            )
        self.kept_states = None if keep_states_mb is None else KeptStates(keep_states_mb)
        self.given_pooling = None if first_pass_pooling is None else checked_pooling(first_pass_pooling)
        self.emotion = None if emotion is None else EmotionModule(emotion)
        self.new_adapter = adapter
        self.adapter: ConvAdapter | None = None

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, self.model_types)
        if self.emotion is None:
            refuse_silent_loss(path)
        model = own_length(self.read_weights(self.model_class, dtype))
        model.model.audio_tower.embed_positions.requires_grad_(False)  # sinusoids, never trained
        if self.given_pooling is not None:
            setattr(model.config, KEY, self.given_pooling)
        checked_pooling(getattr(model.config, KEY, 1))
        processor = Qwen2AudioProcessor.from_pretrained(path)
        if self.emotion is not None:
            width, sampling_rate = model.config.text_config.hidden_size, processor.feature_extractor.sampling_rate
            self.emotion.load(path, width, sampling_rate, dtype)
        self.read_adapter(path, model, dtype)
        return model, processor

    def read_adapter(self, path: str, model: nn.Module, dtype: torch.dtype) -> None:
        """The adapter of the folder or a new one; projectors that it takes the place of are frozen."""
        inputs, width = model.config.audio_config.d_model, model.config.text_config.hidden_size
        if self.emotion is not None:
            inputs += self.emotion.encoder.width
        self.adapter = adapter_of(path, self.new_adapter, inputs, width, dtype)
        if self.adapter is None:
            return
        if getattr(model.config, KEY, 1) > 1:
            raise ValueError("policy.adapter makes fewer tokens of a clip by itself; leave first_pass_pooling at 1")
        model.model.multi_modal_projector.requires_grad_(False)
        if self.emotion is not None:
            self.emotion.projection.requires_grad_(False)

    def save(self, path: str | Path) -> None:
        super().save(path)
        if self.emotion is not None:
            self.emotion.save(path)
        if self.adapter is not None:
            self.adapter.save(path)

    @property
    def first_pass_pooling(self) -> int:
        """How many frames of a prompt's clip one token stands for."""
        return getattr(self.model.config, KEY, 1)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        return self._tensors(waveforms, self.first_pass_pooling)

    def excerpt_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        return self._tensors(waveforms, 1)

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        return pooled_counts(self.excerpt_token_counts(samples), self.first_pass_pooling)

    def excerpt_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        mels = -(-samples // self.processor.feature_extractor.hop_length)  # the last one may be part silence
        frames = self.audio_tower._get_feat_extract_output_lengths(mels)[1]
        return frames if self.adapter is None else self.adapter.counts(frames)

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        states, counts = self._states(audio)
        if self.adapter is not None:
            return self.adapter(self._with_embedding(states, audio), counts)
        if "pooling" in audio:
            states, counts = pooled(states, counts, audio["pooling"])
        embeds = self.model.model.multi_modal_projector(states)
        return embeds if self.emotion is None else embeds + self.emotion(audio["emotion"]), counts

    def _with_embedding(self, states: Float[Tensor, "c f e"], audio: Mapping[str, Tensor]) -> Float[Tensor, "c f n"]:
        """The states, and beside each of them the emotion encoder's embedding of the clip, where there is one."""
        if self.emotion is None:
            return states
        embedding = audio["emotion"].to(states.dtype)[:, None].expand(-1, states.shape[1], -1)
        return torch.cat([states, embedding], -1)

    def _states(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        """What the encoder makes of clips, right-padded, and how many states of each are real."""
        tower, features, mels = self.audio_tower, audio["input_features"], audio["feature_attention_mask"].sum(-1)
        frames, counts = tower._get_feat_extract_output_lengths(mels)
        if self.kept_states is None:
            return tower.encoded(features, frames), counts

        def alone(clip: int) -> Float[Tensor, "f d"]:
            seen = int(mels[clip]) + 2  # the convolutions of the last frame see two mels of the silence behind a clip
            return tower.encoded(features[clip : clip + 1, :, :seen], frames[clip : clip + 1])[0, : int(counts[clip])]

        return pad_sequence(self.kept_states.of(audio["key"], alone), batch_first=True), counts

    def _tensors(self, waveforms: Sequence[Waveform], pooling: int) -> Mapping[str, Tensor]:
        """The input tensors; of a model with two rates they say at which each clip is read."""
        tensors = dict(log_mels(self.processor.feature_extractor, waveforms))
        if self.first_pass_pooling > 1:
            tensors = with_pooling(tensors, pooling)
        if self.kept_states is not None:
            tensors["key"] = self.kept_states.keys(waveforms)
        return tensors if self.emotion is None else tensors | {"emotion": self.emotion.embedding(waveforms)}
