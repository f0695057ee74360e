"""The embedded model in the shape of Audio Flamingo 3: the real class, very small, random weights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    WhisperFeatureExtractor,
)

from cogrl.models.tiny import QWEN, sinusoids, train_tokenizer

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
            "num_attention_heads": 4,
            "intermediate_size": 4 * tower_width,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        audio_token_id=tokenizer.audio_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AudioFlamingo3ForConditionalGeneration(config)
    model.model.audio_tower.embed_positions.weight.data.copy_(torch.from_numpy(sinusoids(positions, tower_width)))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    processor = AudioFlamingo3Processor(
        extractor, tokenizer, chat_template=FLAMINGO.template, audio_token=_PLACEHOLDER, max_audio_len=20 * window_s
    )
    processor.save_pretrained(out)
    return sum(p.numel() for p in model.parameters())
