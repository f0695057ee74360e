"""The frozen base of a policy with adapters in 4 bits: what of it, how it is read, and how it leaves as whole weights.

Blocks of 64 weights share a float32 scale, and each weight is one of 16 values of the NormalFloat grid: 4.5 bits a
weight. (QLoRA, arXiv:2305.14314) The package bitsandbytes does the arithmetic, transformers asks it to.
"""

import importlib.util
import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from cogrl.models.lora import Lora

_BLOCK = 64
"""So many weights share a scale: the default of bitsandbytes."""
_SCALE_BYTES = 4


def refuse_no_four_bit(device: torch.device | None = None) -> None:
    """ModuleNotFoundError without the package bitsandbytes, ValueError for a device that it has no kernels for."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError("policy.load_in_4bit needs the package bitsandbytes: pip install 'cogrl[4bit]'")
    if device is None:
        return
    from bitsandbytes import supported_torch_devices

    if device.type not in supported_torch_devices:
        raise ValueError(
            f"policy.load_in_4bit: bitsandbytes has no 4-bit kernels for a device of type {device.type!r}, only for "
            f"{', '.join(sorted(supported_torch_devices))}; leave load_in_4bit out there"
        )


def layers_in_four_bit(model: nn.Module, lora: Lora) -> list[str]:
    """The names of the linear layers of the language model, without those that train in full (`lora.in_full`).

    Encoder and projector stay as they are: they are a small part of the weights, they may train, and an error in a
    frame is in every token behind it. So do embeddings and output head, which may share a tensor: losses and sampling
    read the weight of the head themselves, chunk by chunk, and no layer is called that could turn it back.
    """
    in_full = {id(part) for whole in lora.whole(model) for part in whole.modules()}
    decoder = model.model.language_model
    kept = {id(model.get_output_embeddings()), *in_full}
    inside = {id(part) for part in decoder.modules() if isinstance(part, nn.Linear)} - kept
    return [name for name, part in model.named_modules() if id(part) in inside]


def reading_in_four_bit(skeleton: PreTrainedModel, lora: Lora, dtype: torch.dtype) -> BitsAndBytesConfig:
    """What `from_pretrained` is to do with the weights; `skeleton` is the model without weights."""
    refuse_no_four_bit()
    layers = set(layers_in_four_bit(skeleton, lora))
    linear = [name for name, part in skeleton.named_modules() if isinstance(part, nn.Linear)]
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[name for name in linear if name not in layers],  # of 4 bits too, despite its name
    )


def prepare_layers(model: nn.Module) -> None:
    """Makes layers in 4 bits train after they were evaluated, and go into checkpoints and out of them."""
    from bitsandbytes.nn import Linear4bit

    for part in model.modules():
        if isinstance(part, Linear4bit):
            # on some CPUs evaluation would repack the weight for a kernel that has no backward pass
            part.support_avx512bf16_for_cpu = False
            part.register_load_state_dict_pre_hook(_take_scales)


def _take_scales(layer: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The scales beside a weight in a state dict: bitsandbytes writes them there, and does not read them."""
    from bitsandbytes.functional import QuantState

    key = f"{prefix}weight."
    scales = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(key)}
    if scales:
        layer.weight.quant_state = QuantState.from_dict(scales, device=layer.weight.device)
        layer.quant_state = layer.weight.quant_state


def whole_state(model: nn.Module, whole: nn.Module) -> dict[str, Tensor]:
    """The state dict of `whole`, the same model with nothing in 4 bits, with all else that `model` has learned.

    Adapters are left out. On the CPU.
    """
    from bitsandbytes.nn import Linear4bit

    own = {name.replace(".base_layer", ""): value for name, value in model.state_dict().items()}
    packed = {
        f"{name.replace('.base_layer', '')}.weight"
        for name, part in model.named_modules()
        if isinstance(part, Linear4bit)
    }
    return {
        name: value if name in packed else own[name].to(value.device, copy=True)
        for name, value in whole.state_dict().items()
    }


def pack_shapes(model: nn.Module, lora: Lora) -> None:
    """Gives a model without weights (on "meta") the shapes that its layers would have in 4 bits."""
    for name in layers_in_four_bit(model, lora):
        layer = model.get_submodule(name)
        size = layer.weight.numel()
        packed = torch.empty(math.ceil(size / 2), 1, dtype=torch.uint8, device="meta")
        layer.weight = nn.Parameter(packed, requires_grad=False)
        layer.weight.absmax = torch.empty(math.ceil(size / _BLOCK), device="meta")


def scales_of(parameter: Tensor) -> Tensor | None:
    """The scales of a weight in 4 bits; None for any other."""
    return getattr(parameter, "absmax", None)
