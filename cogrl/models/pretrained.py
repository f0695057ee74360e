"""A family's weights out of a Hugging Face folder: none of them drawn at random."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import is_flash_attn_2_available


def read_weights(
    path: str, model_class: type[PreTrainedModel], dtype: torch.dtype, whole: str = "the model"
) -> nn.Module:
    """The model of `path` with flash attention where it is installed, else PyTorch's own.

    Raises ValueError, which calls the model `whole`, when the folder lacks weights: transformers would draw them.
    """
    attention = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
    model, found = model_class.from_pretrained(
        path, dtype=dtype, attn_implementation=attention, output_loading_info=True
    )
    if found["missing_keys"]:
        first, *others = sorted(found["missing_keys"])
        raise ValueError(f"{path} lacks weights of {whole}: {first} and {len(others)} more; download it again")
    return model
