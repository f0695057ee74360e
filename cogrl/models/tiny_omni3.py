"""The embedded model in the shape of Qwen3-Omni's thinker: the real classes, very small, random weights."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import (
    Qwen3OmniMoeThinkerConfig,
    Qwen3OmniMoeThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.tiny import train_tokenizer

_EYES = ("<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>")


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
    """Write a randomly initialised thinker as an ordinary Hugging Face folder; returns its parameter count.

    The arguments are those of `cogrl.models.tiny.build_tiny_model`; every layer has four experts, of which a token
    takes two. The encoder works on blocks of 1 s whatever the clip's length: `window_s` is the front end's limit.
    """
    tokenizer = train_tokenizer(corpus, vocab_size)
    tokenizer.add_tokens(list(_EYES), special_tokens=True)
    image, video, vision_start = tokenizer.convert_tokens_to_ids(list(_EYES))
    heads = 4
    half = width // heads // 2
    config = Qwen3OmniMoeThinkerConfig(
        audio_config={
            "num_mel_bins": mel_bins,
            "d_model": tower_width,
            "encoder_layers": tower_layers,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 4 * tower_width,
            "downsample_hidden_size": tower_width,
            "output_dim": width,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": width,
            "patch_size": 2,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "moe_intermediate_size": width,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            # time, height and width share the rotary pairs 24 : 20 : 20
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half - 2 * (5 * half // 16), 5 * half // 16, 5 * half // 16],
            },
        },
        audio_token_id=tokenizer.audio_token_id,
        audio_start_token_id=tokenizer.convert_tokens_to_ids("<|audio_bos|>"),
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=vision_start,
        user_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3OmniMoeThinkerForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    AudioFrontEnd(extractor, tokenizer).save_pretrained(out)
    return sum(p.numel() for p in model.parameters())
