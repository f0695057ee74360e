"""Low-rank adapters on the language model, injected in place and merged on export. (arXiv:2106.09685)"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Lora:
    """Adapter settings; the defaults are CogAudio-LLM's (rank 8, alpha 32). Needs `pip install 'cogrl[lora]'`."""

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"

    def inject(self, model: nn.Module) -> None:
        """Add adapters to every linear layer that matches `targets`; freeze all the rest."""
        from peft import LoraConfig, inject_adapter_in_model

        model.requires_grad_(False)
        inject_adapter_in_model(
            LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.targets),
            model,
        )

    def merged_state(self, model: nn.Module) -> dict[str, Tensor]:
        """A state dict under the base model's own names with the adapters added in; `model` is left as it was."""
        from peft.tuners.lora import LoraLayer

        layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            layer.merge()
        state = {
            name.replace(".base_layer", ""): value.clone()
            for name, value in model.state_dict().items()
            if ".lora_" not in name
        }
        for layer in layers:
            layer.unmerge()
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
