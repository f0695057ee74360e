"""The audio and text parts of a processor, for families whose whole processor needs packages that audio does not."""

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, WhisperFeatureExtractor


@dataclass
class AudioFrontEnd:
    """What prompts are made with: log-mels and tokens. (The whole Omni processors need torchvision for images.)"""

    feature_extractor: WhisperFeatureExtractor
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "AudioFrontEnd":
        """From the files of an Omni processor or of `save_pretrained`.

        Raises ValueError when the folder has no chat template or its tokenizer no audio token.
        """
        tokenizer = AutoTokenizer.from_pretrained(folder)
        published = Path(folder) / "chat_template.json"  # of the processor; goes before the tokenizer's own
        if published.is_file():
            tokenizer.chat_template = json.loads(published.read_text(encoding="utf-8"))["chat_template"]
        if tokenizer.chat_template is None:
            raise ValueError(f"{folder} holds no chat template (chat_template.json or chat_template.jinja)")
        if getattr(tokenizer, "audio_token", None) is None:
            raise ValueError(f"{folder}: the tokenizer names no audio_token; copy the tokenizer of the audio model")
        return cls(WhisperFeatureExtractor.from_pretrained(folder), tokenizer)

    @property
    def chat_template(self) -> str:
        return self.tokenizer.chat_template

    @property
    def audio_token(self) -> str:
        return self.tokenizer.audio_token

    def save_pretrained(self, folder: str | Path) -> None:
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
