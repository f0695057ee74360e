"""Voxtral: log-mel frames -> Whisper encoder, four states stacked to a token of 80 ms -> Mistral. (arXiv:2507.13264)

The encoder has no mask: a clip is padded with silence to whole windows of 30 s, and the silence is read too. Longer
clips are read window by window. Prompts are made without the package mistral_common, of the tokenizer's files alone.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import (
    PreTrainedTokenizerFast,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    WhisperFeatureExtractor,
)

from cogrl.models.audio_lm import AudioLM
from cogrl.models.audio_window import AudioWindow, read_window
from cogrl.models.emotion import refuse_silent_loss
from cogrl.models.folder import refuse_another_family
from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.signals import float32_signals
from cogrl.models.windows import whole_clips, windows_of
from cogrl.types import Waveform

TEKKEN, PLACEHOLDER = "tekken.json", "[AUDIO]"
CHAT = (
    "<s>{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] }}</s>"
    "{% else %}[INST]{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    f"{{% if part['type'] == 'audio' %}}[BEGIN_AUDIO]{PLACEHOLDER}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
    "{% endfor %}{% endif %}[/INST]{% endif %}{% endfor %}"
)
"""Mistral's instruct format with audio; the published folder has no template and leaves it to that package."""


@dataclass
class VoxtralFrontEnd(AudioFrontEnd):
    """Log-mels and tokens; `tekken` is the file of Mistral's own that the tokenizer was read from, if it was."""

    tekken: Path | None = None

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "VoxtralFrontEnd":
        """From `tekken.json`, as published, or from the `tokenizer.json` of `save_pretrained`.

        Raises ValueError when the tokenizer has no token for audio.
        """
        tekken = Path(folder) / TEKKEN
        if tekken.is_file():
            from transformers.integrations.mistral.tokenizer import convert_tekken_tokenizer

            written = Path(folder) / "chat_template.jinja"
            template = written.read_text(encoding="utf-8") if written.is_file() else CHAT
            tokenizer = convert_tekken_tokenizer(str(tekken), template)
        else:
            tokenizer, tekken = PreTrainedTokenizerFast.from_pretrained(folder), None
            tokenizer.chat_template = tokenizer.chat_template or CHAT
        if PLACEHOLDER not in tokenizer.get_vocab():
            raise ValueError(f"{folder}: the tokenizer has no {PLACEHOLDER}; copy the tokenizer of the audio model")
        return cls(WhisperFeatureExtractor.from_pretrained(folder), tokenizer, tekken)

    @property
    def audio_token(self) -> str:
        return PLACEHOLDER

    def save_pretrained(self, folder: str | Path) -> None:
        super().save_pretrained(folder)
        if self.tekken is not None and self.tekken.parent.resolve() != Path(folder).resolve():
            shutil.copy(self.tekken, Path(folder) / TEKKEN)


class Voxtral(AudioLM):
    """`VoxtralForConditionalGeneration` of any size, from a local folder."""

    model_types, model_class = ("voxtral",), VoxtralForConditionalGeneration

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        refuse_another_family(path, self.model_types)
        refuse_silent_loss(path)
        model = self.read_weights(self.model_class, dtype)
        model.model.audio_tower.embed_positions.requires_grad_(False)  # sinusoids, never trained
        return model, VoxtralFrontEnd.from_pretrained(path)

    @classmethod
    def window_of(cls, path: str | Path) -> AudioWindow:
        """As many whole windows as the language model has positions for."""
        one, config = read_window(path), VoxtralConfig.from_pretrained(path)
        windows = config.get_text_config().max_position_embeddings // tokens_of_a_window(config)
        return AudioWindow(one.sampling_rate, windows * one.longest_s)

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        clips = [self._mels(waveform) for waveform in waveforms]
        longest = max(features.shape[-1] for features, _ in clips)
        tensors = [torch.cat([pad(x, (0, longest - x.shape[-1])) for x in kind]) for kind in zip(*clips, strict=True)]
        return dict(zip(("input_features", "feature_attention_mask"), tensors, strict=True))

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        return -(-samples // self.processor.feature_extractor.n_samples) * tokens_of_a_window(self.model.config)

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        windows = windows_of(audio, self.processor.feature_extractor.nb_max_frames)
        states = self.audio_tower(windows.features).last_hidden_state
        stacked = states.reshape(len(states), -1, self.model.config.audio_config.intermediate_size)
        embeds = self.model.model.multi_modal_projector(stacked)
        counts = torch.full_like(windows.clip, embeds.shape[1])
        return whole_clips(embeds, counts, windows.clip, len(audio["input_features"]))

    def _mels(self, waveform: Waveform) -> tuple[Float[Tensor, "1 m n"], Int[Tensor, "1 n"]]:
        """Of one clip: what follows it within its last window has to be the same silence in every batch."""
        extractor = self.processor.feature_extractor
        with float32_signals():
            features = extractor(
                waveform,
                sampling_rate=extractor.sampling_rate,
                padding=True,
                pad_to_multiple_of=extractor.n_samples,
                truncation=False,
                return_attention_mask=True,
                return_tensors="pt",
            )
        return features.input_features, features.attention_mask


def tokens_of_a_window(config: VoxtralConfig) -> int:
    """How many tokens of the language model a window of audio is."""
    tower = config.audio_config
    return tower.max_source_positions * tower.hidden_size // tower.intermediate_size
