"""The embedded model in the shape of Qwen2.5-Omni's thinker: the real classes, very small, random weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from cogrl.models.front_end import AudioFrontEnd
from cogrl.models.tiny import HEADS, text_settings, train_tokenizer, write_random

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

    The arguments are those of `cogrl.models.tiny.build_tiny_model`. The encoder works on blocks of 2 s whatever the
    clip's length, as the published one does: `window_s` is the front end's limit. The vision tower is there, very
    small.
    """
    tokenizer = train_tokenizer(corpus, vocab_size)
    eyes = with_eyes(tokenizer)
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "num_mel_bins": mel_bins,
            "d_model": tower_width,
            "encoder_layers": tower_layers,
            "encoder_attention_heads": HEADS,
            "encoder_ffn_dim": 4 * tower_width,
            "output_dim": width,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": width,
            "fullatt_block_indexes": [0],
        },
        text_config=text_settings(tokenizer, width, layers, rope_parameters=rotary(width, 3 / 8)),
        audio_token_index=tokenizer.audio_token_id,
        audio_start_token_id=tokenizer.convert_tokens_to_ids("<|audio_bos|>"),
        audio_end_token_id=tokenizer.convert_tokens_to_ids("<|audio_eos|>"),
        image_token_index=eyes["image"],
        video_token_index=eyes["video"],
        vision_start_token_id=eyes["vision_start"],
        user_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
    )
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    return write_random(
        out, Qwen2_5OmniThinkerForConditionalGeneration, config, AudioFrontEnd(extractor, tokenizer), seed
    )


def with_eyes(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The ids of tokens for pictures, which the tokenizer has from then on: a thinker asks for them."""
    tokenizer.add_tokens(list(_EYES), special_tokens=True)
    return dict(zip(("image", "video", "vision_start"), tokenizer.convert_tokens_to_ids(list(_EYES)), strict=True))


def rotary(width: int, share: float) -> dict[str, Any]:
    """Rotary positions of three axes: height and width each have a `share` of the pairs, time has the rest."""
    pairs = width // HEADS // 2
    side = int(pairs * share)
    return {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [pairs - 2 * side, side, side]}
