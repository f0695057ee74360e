"""A family's weights out of a Hugging Face folder: none of them drawn at random."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from cogrl.models.four_bit import prepare_layers, reading_in_four_bit, whole_state
from cogrl.models.lora import Lora


def read_weights(
    path: str,
    model_class: type[PreTrainedModel],
    dtype: torch.dtype,
    whole: str = "the model",
    four_bit: Lora | None = None,
) -> nn.Module:
    """The model of `path` with flash attention where it is installed, else PyTorch's own.

    With `four_bit` its language model in 4 bits, but for what these adapters train in full; see `models.four_bit`.

    Raises ValueError, which calls the model `whole`, when the folder lacks weights: transformers would draw them.
    """
    attention = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
    how = None if four_bit is None else reading_in_four_bit(skeleton(path, model_class), four_bit, dtype)
    model, found = model_class.from_pretrained(
        path, dtype=dtype, attn_implementation=attention, output_loading_info=True, quantization_config=how
    )
    if found["missing_keys"]:
        first, *others = sorted(found["missing_keys"])
        raise ValueError(f"{path} lacks weights of {whole}: {first} and {len(others)} more; download it again")
    if how is not None:
        prepare_layers(model)
    return model


def skeleton(path: str, model_class: type[PreTrainedModel]) -> PreTrainedModel:
    """The modules of the model of `path` with their names and shapes, on the device "meta"."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return model_class(model_class.config_class.from_pretrained(path))


def read_whole(model: PreTrainedModel, path: str) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """The model of `path` with nothing in 4 bits, on the CPU, and its state dict with what else `model` has learned."""
    whole = read_weights(path, type(model), model.get_input_embeddings().weight.dtype)
    whole.config = deepcopy(model.config)
    del whole.config.quantization_config
    return whole, whole_state(model, whole)
