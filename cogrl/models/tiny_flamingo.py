"""The embedded model in the shape of Audio Flamingo 3: the real class, very small, random weights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    WhisperFeatureExtractor,
)

from cogrl.models.tiny import HEADS, QWEN, text_settings, train_tokenizer, write_random

_PLACEHOLDER = "<sound>"
FLAMINGO = replace(
    QWEN,
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>", _PLACEHOLDER),
    template=QWEN.template.replace("<|audio_bos|><|AUDIO|><|audio_eos|>\n", _PLACEHOLDER),
    named={"audio_token": _PLACEHOLDER},
)


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
) -> int:
    """Write a randomly initialised Audio Flamingo 3 as an ordinary Hugging Face folder; returns its parameter count.

    The arguments are those of `cogrl.models.tiny.build_tiny_model`. Up to 20 windows of a clip are heard, one after
    another, as of the published model.
    """
    tokenizer = train_tokenizer(corpus, vocab_size, FLAMINGO)
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    positions = extractor.nb_max_frames // 2
    config = AudioFlamingo3Config(
        audio_config={
            "model_type": "audioflamingo3_encoder",
            "num_mel_bins": mel_bins,
            "max_source_positions": positions,
            "hidden_size": tower_width,
            "num_hidden_layers": tower_layers,
            "num_attention_heads": HEADS,
            "intermediate_size": 4 * tower_width,
        },
        text_config=text_settings(tokenizer, width, layers, model_type="qwen2", bos_token_id=None),
        audio_token_id=tokenizer.audio_token_id,
    )
    processor = AudioFlamingo3Processor(
        extractor, tokenizer, chat_template=FLAMINGO.template, audio_token=_PLACEHOLDER, max_audio_len=20 * window_s
    )
    return write_random(out, AudioFlamingo3ForConditionalGeneration, config, processor, seed)
