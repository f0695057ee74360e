"""The embedded model: the real Qwen2-Audio class at a size two CPU cores can train, with its own small tokenizer.

Random weights. It is no pretrained model and no emotion recogniser for people; it is for trying the whole chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from cogrl.formats.eips import STEPS
from cogrl.formats.paqa import PAQA
from cogrl.formats.segments import CLOSED, OPENED
from cogrl.models.frame_pooling import KEY, checked_pooling

HEADS = 4
"""Attention heads of the tower and of the language model."""
_MARKUP = ("<thought>", "</thought>", "<response>", "</response>", *(f"[{step}]" for step in STEPS))
_TRACE_MARKUP = (*(f"<{slash}{tag}>" for tag in PAQA.tags for slash in ("", "/")), OPENED, CLOSED)
_AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>\n"
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    f"{{% if part['type'] == 'audio' %}}{_AUDIO}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class ChatTokens:
    """The special tokens of a family, the `template` of its chats, and the names some of the tokens go by."""

    special: tuple[str, ...]
    template: str
    eos: str
    pad: str
    named: dict[str, str]


QWEN = ChatTokens(
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"),
    template=_CHAT,
    eos="<|im_end|>",
    pad="<|endoftext|>",
    named={"audio_token": "<|AUDIO|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"},
)


def train_tokenizer(corpus: Iterable[str], vocab_size: int = 2048, chat: ChatTokens = QWEN) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocab_size` entries with a family's chat and audio tokens; it can write any text.

    The tags of formats are entries of their own: those of `eips`, and those of `paqa` and the `<seg>` of `echo` that
    the corpus holds.
    """
    corpus = list(corpus)
    markup = [*_MARKUP, *(tag for tag in _TRACE_MARKUP if any(tag in text for text in corpus))]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(markup),
        special_tokens=list(chat.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    bpe.add_tokens(markup)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=chat.eos,
        pad_token=chat.pad,
        padding_side="left",
        chat_template=chat.template,
        extra_special_tokens=dict(chat.named),
    )


def sinusoids(length: int, channels: int, max_timescale: float = 10_000.0) -> np.ndarray:
    """Whisper's fixed position table, (length, channels): the pretrained towers have it, so the tiny one does too."""
    scales = np.exp(-np.log(max_timescale) / (channels // 2 - 1) * np.arange(channels // 2))
    angles = np.arange(length)[:, None] * scales[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def build_tiny_model(
    out: str | Path,
    corpus: Iterable[str],
    seed: int = 0,
    window_s: int = 4,
    mel_bins: int = 64,
    tower_width: int = 96,
    tower_layers: int = 3,
    width: int = 128,
    layers: int = 3,
    vocab_size: int = 2048,
    first_pass_pooling: int = 1,
) -> int:
    """Write a randomly initialised Qwen2-Audio as an ordinary Hugging Face folder; returns its parameter count.

    Args:
        corpus: texts the tokenizer is trained on (use the SFT split only).
        window_s: the encoder's window in whole seconds; longer clips are refused.
        first_pass_pooling: how many frames (40 ms) of a prompt's clip one token stands for; those of clips that are
            inserted stay single. transformers alone does not know it and reads every clip frame by frame.
    """
    tokenizer = train_tokenizer(corpus, vocab_size)
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    positions = window_s * extractor.sampling_rate // extractor.hop_length // 2
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": mel_bins,
            "max_source_positions": positions,
            "d_model": tower_width,
            "encoder_layers": tower_layers,
            "encoder_attention_heads": HEADS,
            "encoder_ffn_dim": 4 * tower_width,
        },
        text_config=text_settings(tokenizer, width, layers, model_type="qwen2", bos_token_id=None),
        audio_token_index=tokenizer.audio_token_id,
    )
    if checked_pooling(first_pass_pooling) > 1:
        setattr(config, KEY, first_pass_pooling)
    processor = Qwen2AudioProcessor(extractor, tokenizer, chat_template=QWEN.template)
    return write_random(out, Qwen2AudioForConditionalGeneration, config, processor, seed)


def text_settings(tokenizer: PreTrainedTokenizerFast, width: int, layers: int, **more: Any) -> dict[str, Any]:
    """The settings of a small language model of any family, and `more` of its own."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def write_random(
    out: str | Path, kind: type[PreTrainedModel], config: PreTrainedConfig, processor: Any, seed: int
) -> int:
    """Write a model of random weights with its processor as a Hugging Face folder; returns its parameter count."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config)
    table = getattr(model.model.audio_tower, "embed_positions", None)
    if isinstance(table, torch.nn.Embedding):
        table.weight.data.copy_(torch.from_numpy(sinusoids(*table.weight.shape)))
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(out)
    processor.save_pretrained(out)
    return sum(p.numel() for p in model.parameters())
