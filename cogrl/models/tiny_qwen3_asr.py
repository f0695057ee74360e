"""The embedded model in the shape of Qwen3-ASR: the real class, very small, random weights."""

from collections.abc import Iterable
from pathlib import Path

from transformers import (
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
)

from cogrl.models.tiny import HEADS, QWEN, text_settings, train_tokenizer, write_random


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
    """Write a randomly initialised Qwen3-ASR as an ordinary Hugging Face folder; returns its parameter count.

    The arguments are those of `cogrl.models.tiny.build_tiny_model`; `window_s` is the front end's limit.
    """
    tokenizer = train_tokenizer(corpus, vocab_size)
    config = Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder",
            "num_mel_bins": mel_bins,
            "d_model": tower_width,
            "encoder_layers": tower_layers,
            "encoder_attention_heads": HEADS,
            "encoder_ffn_dim": 4 * tower_width,
            "downsample_hidden_size": tower_width,
            "output_dim": width,
        },
        text_config=text_settings(tokenizer, width, layers, model_type="qwen3", head_dim=width // HEADS),
        audio_token_id=tokenizer.audio_token_id,
        timestamp_token_id=0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    extractor = Qwen3ASRFeatureExtractor(feature_size=mel_bins, chunk_length=window_s)
    processor = Qwen3ASRProcessor(extractor, tokenizer, chat_template=QWEN.template)
    return write_random(out, Qwen3ASRForConditionalGeneration, config, processor, seed)
