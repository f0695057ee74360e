"""The embedded model in the shape of Voxtral: the real class, very small, random weights."""

from collections.abc import Iterable
from pathlib import Path

from transformers import VoxtralConfig, VoxtralForConditionalGeneration, WhisperFeatureExtractor

from cogrl.models.tiny import HEADS, ChatTokens, text_settings, train_tokenizer, write_random
from cogrl.models.voxtral import CHAT, PLACEHOLDER, VoxtralFrontEnd

_FIRST = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>")
_AUDIO_ID = 24
"""Where transformers' own processor expects the placeholder."""
MISTRAL = ChatTokens(
    special=(*_FIRST, *(f"<SPECIAL_{i}>" for i in range(len(_FIRST), _AUDIO_ID)), PLACEHOLDER, "[BEGIN_AUDIO]"),
    template=CHAT,
    eos="</s>",
    pad="<pad>",
    named={"audio_token": PLACEHOLDER},
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
    """Write a randomly initialised Voxtral as an ordinary Hugging Face folder; returns its parameter count.

    The arguments are those of `cogrl.models.tiny.build_tiny_model`; a clip is padded to whole windows of `window_s`.
    """
    tokenizer = train_tokenizer(corpus, vocab_size, MISTRAL)
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    positions = extractor.nb_max_frames // 2
    config = VoxtralConfig(
        audio_config={
            "model_type": "voxtral_encoder",
            "num_mel_bins": mel_bins,
            "max_source_positions": positions,
            "hidden_size": tower_width,
            "num_hidden_layers": tower_layers,
            "num_attention_heads": HEADS,
            "intermediate_size": 4 * tower_width,
        },
        text_config=text_settings(
            tokenizer,
            width,
            layers,
            model_type="llama",
            head_dim=width // HEADS,
            bos_token_id=tokenizer.convert_tokens_to_ids("<s>"),
        ),
        audio_token_id=_AUDIO_ID,
    )
    return write_random(out, VoxtralForConditionalGeneration, config, VoxtralFrontEnd(extractor, tokenizer), seed)
