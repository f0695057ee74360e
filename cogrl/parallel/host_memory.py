"""How much memory of the host an offload needs, looked at before training begins."""

import psutil
import torch

_GIB = 2**30
_ADAM_BYTES = 16
"""Of each number that is trained: itself, its gradient and AdamW's two moments, in float32."""


def offload_bytes(trained: int, weights: int, optimizer: bool, parameters: bool) -> int:
    """What the host takes of a share of `trained` numbers in training, and of so many bytes of `weights` in all."""
    return (trained * _ADAM_BYTES if optimizer else 0) + (weights if parameters else 0)


def refuse_small_host(module: torch.nn.Module, ranks_here: int, ranks: int, optimizer: bool, parameters: bool) -> None:
    """Raises ValueError when the shards that the ranks of this host offload do not fit into its free memory."""
    weights = list(module.parameters())
    sizes = [(getattr(p, "ds_numel", p.numel()), p) for p in weights]
    held, trained = sum(n * p.element_size() for n, p in sizes), sum(n for n, p in sizes if p.requires_grad)
    share = ranks_here / ranks
    needed = offload_bytes(int(trained * share), int(held * share), optimizer, parameters)
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"the offload of {ranks_here} of {ranks} ranks needs {needed / _GIB:.1f} GiB of this host's memory and "
            f"{free / _GIB:.1f} GiB are free; use more hosts, train adapters (policy.lora), or leave "
            "offload_parameters or offload_optimizer out"
        )
