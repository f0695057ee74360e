"""Low-rank adapters on the language model, injected in place and merged on export. (arXiv:2106.09685)"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Lora:
    """Adapter settings; the defaults are CogAudio-LLM's (rank 8, alpha 32). Needs `pip install 'cogrl[lora]'`.

    Args:
        targets: the linear layers that get adapters, as a regular expression on their whole name.
        in_full: the modules whose own weights train besides, such as a projector that starts at random; likewise.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    in_full: str | None = None

    def inject(self, model: nn.Module) -> None:
        """Add adapters to every linear layer that matches `targets`; freeze all the rest but `in_full`.

        Adapters are float32 whatever the weights are: a step of 1e-6 is less than bfloat16 can tell apart.

        Raises ValueError when `in_full` matches no module.
        """
        from peft import LoraConfig, inject_adapter_in_model

        model.requires_grad_(False)
        whole = [part for name, part in model.named_modules() if self.in_full and re.fullmatch(self.in_full, name)]
        if self.in_full is not None and not whole:
            raise ValueError(
                f"lora.in_full={self.in_full!r} matches no module; try '.*multi_modal_projector' (Qwen2-Audio) or "
                r"'.*audio_tower\.proj' (Qwen2.5-Omni)"
            )
        inject_adapter_in_model(
            LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.targets),
            model,
        )
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.float()
        for part in whole:
            part.requires_grad_(True)

    @torch.no_grad()
    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """A state dict under the base model's own names with the adapters added in; `model` is not touched."""
        from peft.tuners.lora import LoraLayer

        state = {
            name.replace(".base_layer", ""): value.clone()
            for name, value in model.state_dict().items()
            if ".lora_" not in name
        }
        for name, layer in model.named_modules():
            if isinstance(layer, LoraLayer):
                for adapter in layer.active_adapters:
                    state[f"{name}.weight"] += layer.get_delta_weight(adapter)
        return state


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The base model: inside, adapters take no part in the forward pass."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
