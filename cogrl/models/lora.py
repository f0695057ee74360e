"""Low-rank adapters on the language model, injected in place and merged on export. (arXiv:2106.09685)"""

import difflib
import importlib.util
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Lora:
    """Adapter settings; the defaults are CogAudio-LLM's (rank 8, alpha 32). Needs `pip install 'cogrl[lora]'`.

    Args:
        rank, alpha: both at least 1; an adapter counts alpha / rank.
        dropout: share of an adapter's inputs that is dropped in training, in [0, 1).
        targets: the linear layers that get adapters, as a regular expression on their whole name. The output head is
            refused: losses and sampling read its weight itself, so an adapter there would have no effect, and merged
                into a head that is tied to the embeddings it would change what the model reads. `in_full` trains it.
        in_full: the modules whose own weights train besides, such as a projector that starts at random; likewise.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    in_full: str | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1:
            raise ValueError(
                f"lora.rank={self.rank} and lora.alpha={self.alpha} must be at least 1; leave lora out to "
                "train all weights"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout={self.dropout} must lie in [0, 1)")
        for name, pattern in (("targets", self.targets), ("in_full", self.in_full)):
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise ValueError(f"lora.{name}={pattern!r} is no regular expression: {error}") from error

    def check(self, model: nn.Module) -> None:
        """Whether these adapters can be put into `model`, whose weights are not looked at (they may be on "meta").

        Warns of a word in `targets` that no layer has in its name. Raises ValueError when `targets` matches no layer,
        the output head or what is no linear layer, or `in_full` no module, with the nearest names and those there are;
        ModuleNotFoundError without the package peft.
        """
        if importlib.util.find_spec("peft") is None:
            raise ModuleNotFoundError("policy.lora needs the package peft: pip install 'cogrl[lora]'")
        modules, head = dict(model.named_modules()), model.get_output_embeddings()
        linear = [name for name, part in modules.items() if isinstance(part, nn.Linear) and part is not head]
        found = [name for name in modules if re.fullmatch(self.targets, name)]
        given, typos = f"lora.targets={self.targets!r}", nearest_parts(self.targets, linear)
        layers = f"{typos}the linear layers are {numbered(linear)}"
        if not found:
            raise ValueError(f"{given} matches no layer of this model; {layers}")
        for name in found:
            if modules[name] is head:
                raise ValueError(
                    f"{given} matches {name!r}, the output head, which takes no adapters: its weight is read itself, "
                    f"and may be that of the embeddings; leave it out of the pattern, or train it with in_full: {name}"
                )
            if name not in linear:
                kind = type(modules[name]).__name__
                raise ValueError(f"{given} matches {name or 'the whole model'!r} ({kind}), no linear layer; {layers}")
        if typos and self.targets != Lora.targets:  # the default names layers that not every family has
            warnings.warn(f"{given} is right for {len(found)} layers, but {typos.rstrip('; ')}", stacklevel=1)
        if self.in_full is not None and not self.whole(model):
            outer = [name for name in modules if name and name.count(".") < 3]
            raise ValueError(
                f"lora.in_full={self.in_full!r} matches no module; try '.*multi_modal_projector' (Qwen2-Audio) or "
                rf"'.*audio_tower\.proj' (Qwen2.5-Omni); {nearest_parts(self.in_full, modules)}the outer modules are "
                f"{numbered(outer)}"
            )

    def whole(self, model: nn.Module) -> list[nn.Module]:
        """The modules that `in_full` names."""
        return [part for name, part in model.named_modules() if self.in_full and re.fullmatch(self.in_full, name)]

    def inject(self, model: nn.Module) -> None:
        """Add adapters to every linear layer that matches `targets`; freeze all the rest but `in_full`.

        Adapters are float32 whatever the weights are: a step of 1e-6 is below the resolution of bfloat16.

        Raises what `check` does.
        """
        self.check(model)
        from peft import LoraConfig, inject_adapter_in_model

        model.requires_grad_(False)
        whole = self.whole(model)
        # layer by layer: peft would take a pattern that names gate_proj to mean the experts' stacked weights, too
        layers = [name for name, _ in model.named_modules() if re.fullmatch(self.targets, name)]
        inject_adapter_in_model(
            LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=layers), model
        )
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.float()
        for part in whole:
            part.requires_grad_(True)

    @torch.no_grad()
    def merged_state(self, model: nn.Module, base: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """A state dict under the base model's own names with the adapters added in; `model` is not touched.

        They are added to `base`, where it is given: the weights of a model that does not hold them whole itself.
        """
        from peft.tuners.lora import LoraLayer

        state = base or {
            name.replace(".base_layer", ""): value.clone()
            for name, value in model.state_dict().items()
            if ".lora_" not in name
        }
        for name, layer in model.named_modules():
            if isinstance(layer, LoraLayer):
                for adapter in layer.active_adapters:
                    weight = state[f"{name}.weight"]
                    weight += layer.get_delta_weight(adapter).to(weight.device)
        return state


def numbered(names: Iterable[str]) -> str:
    """All names, each once, with `N` in place of layer numbers."""
    return ", ".join(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.|$)", "N", name) for name in names))


def nearest_parts(pattern: str, names: Iterable[str]) -> str:
    """`no name holds 'q_prj' (did you mean 'q_proj'?); ` for each word of a pattern that is nearly part of a name."""
    parts = {part for name in names for part in name.split(".")}
    hint = ""
    for word in re.findall(r"[A-Za-z_]\w{2,}", pattern):
        close = difflib.get_close_matches(word, parts, n=1)
        if close and not any(word in part for part in parts):
            hint += f"no name holds {word!r} (did you mean {close[0]!r}?); "
    return hint


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
