"""The embedded model in the shape of Qwen3-Omni's thinker: the real classes, very small, random weights."""

from collections.abc import Iterable
from pathlib import Path

from transformers import (
    Qwen3OmniMoeThinkerConfig,
    Qwen3OmniMoeThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.tiny import HEADS, text_settings, train_tokenizer, write_random
from cogrl.models.tiny_omni import rotary, with_eyes


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
    eyes = with_eyes(tokenizer)
    config = Qwen3OmniMoeThinkerConfig(
        audio_config={
            "num_mel_bins": mel_bins,
            "d_model": tower_width,
            "encoder_layers": tower_layers,
            "encoder_attention_heads": HEADS,
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
        text_config=text_settings(
            tokenizer,
            width,
            layers,
            moe_intermediate_size=width,
            num_experts=4,
            num_experts_per_tok=2,
            rope_parameters=rotary(width, 5 / 16),
        ),
        audio_token_id=tokenizer.audio_token_id,
        audio_start_token_id=tokenizer.convert_tokens_to_ids("<|audio_bos|>"),
        image_token_id=eyes["image"],
        video_token_id=eyes["video"],
        vision_start_token_id=eyes["vision_start"],
        user_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
    )
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    return write_random(
        out, Qwen3OmniMoeThinkerForConditionalGeneration, config, AudioFrontEnd(extractor, tokenizer), seed
    )
