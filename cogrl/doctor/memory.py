"""Arithmetic of memory: what parameters, gradients, optimiser, activations, logits and key-value cache take on a rank.

Parameters, gradients and optimiser are counted. Activations are estimated: of every linear layer its input and its
output, and a fifth more for norms, rotations and the like, which is within a quarter of what PyTorch keeps for the
backward pass of the decoders and towers here (`tests/doctor`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn

from cogrl.models.four_bit import scales_of
from cogrl.parallel.host_memory import offload_bytes
from cogrl.parallel.shares import Shares

GIB = 2**30
_MOMENTS = 2
"""AdamW keeps two numbers for each that trains, in the dtype of the weight."""
_MASTER_BYTES = 12
"""Under DeepSpeed: a copy and two moments in float32."""
_BESIDES_LINEAR = 1.2
_DRAWN_COPIES = 3
"""float32 tensors over the vocabulary while a token is drawn: logits, log-probabilities, probabilities."""


class Weights(NamedTuple):
    """Weights that are alike: how many numbers, bytes of each, whether they train."""

    numbers: int
    bytes_each: int
    trains: bool


class StateBytes(NamedTuple):
    """What a rank holds all the time, on its device, and what the host holds for it."""

    weights: int
    gradients: int
    optimizer: int
    host: int

    @property
    def device(self) -> int:
        return self.weights + self.gradients + self.optimizer


def weights_of(module: nn.Module, half: bool = False) -> list[Weights]:
    """Of every parameter of a module; `half`: the strategy turns all of them into 16 bits. Shards count whole.

    Weights in 4 bits stay so: two are a number of one byte, and their scales are counted beside them.
    """
    parameters = list(module.parameters())
    sizes = [
        (getattr(p, "ds_numel", p.numel()), 2 if half and p.is_floating_point() else p.element_size(), p)
        for p in parameters
    ]
    scales = [scale for p in parameters if (scale := scales_of(p)) is not None]
    return [Weights(numbers, each, p.requires_grad) for numbers, each, p in sizes] + [
        Weights(scale.numel(), scale.element_size(), False) for scale in scales
    ]


def state_bytes(weights: Iterable[Weights], shares: Shares) -> StateBytes:
    """What a rank holds of weights, their gradients and AdamW's state, by its shares.

    In 16 bits under ZeRO: 2P + 2P + 12P/N (stage 1), 2P + 14P/N (2), 16P/N (3) bytes where P numbers train on N ranks.
    """
    weights = list(weights)
    held = sum(w.numbers * w.bytes_each for w in weights) * shares.weights
    trained = [w for w in weights if w.trains]
    gradients = sum(w.numbers * w.bytes_each for w in trained) * shares.gradients
    each = _MASTER_BYTES if shares.master else 0
    optimizer = sum(w.numbers * (each or _MOMENTS * w.bytes_each) for w in trained) * shares.optimizer
    numbers = sum(w.numbers for w in trained) * shares.optimizer
    host = offload_bytes(int(numbers), int(held), shares.optimizer_on_host, shares.weights_on_host)
    return StateBytes(
        int(held * (not shares.weights_on_host)),
        int(gradients),
        int(optimizer * (not shares.optimizer_on_host)),
        host,
    )


def activation_bytes(module: nn.Module, tokens: int, width: int, bytes_each: int, checkpointing: bool) -> int:
    """What the backward pass of a decoder or encoder keeps of so many tokens, estimated.

    With `checkpointing` the input of each layer, and one layer whole while it is computed again.
    """
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    whole = _BESIDES_LINEAR * sum(part.in_features + part.out_features for part in linear)
    layers = max((len(part) for part in module.modules() if isinstance(part, nn.ModuleList)), default=1)
    each = layers * width + whole / layers if checkpointing else whole
    return int(tokens * each * bytes_each)


def cache_bytes(config, tokens: int, bytes_each: int) -> int:
    """Keys and values of so many tokens; `config` is that of the language model."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * head * tokens * bytes_each


def drawn_bytes(rows: int, vocabulary: int) -> int:
    """The logits of one position of so many rows, and what is made of them to draw a token."""
    return rows * vocabulary * 4 * _DRAWN_COPIES
