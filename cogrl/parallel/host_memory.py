"""How much memory of the host an offload needs, looked at before training begins."""

import psutil
import torch

_GIB = 2**30
_ADAM_BYTES = 16
"""Of each number that is trained: itself, its gradient and AdamW's two moments, in float32."""


def offload_bytes(trained: int, held: int, bytes_each: int, optimizer: bool, parameters: bool) -> int:
    """What a share of `trained` numbers in training and of `held` weights in all takes, each weight `bytes_each`."""
    return (trained * _ADAM_BYTES if optimizer else 0) + (held * bytes_each if parameters else 0)


def refuse_small_host(module: torch.nn.Module, ranks_here: int, ranks: int, optimizer: bool, parameters: bool) -> None:
    """Raises ValueError when the shards that the ranks of this host offload do not fit into its free memory."""
    weights = list(module.parameters())
    sizes = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in weights]
    held, trained = sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
    share = ranks_here / ranks
    needed = offload_bytes(
        int(trained * share), int(held * share), max(p.element_size() for p in weights), optimizer, parameters
    )
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"the offload of {ranks_here} of {ranks} ranks needs {needed / _GIB:.1f} GiB of this host's memory and "
            f"{free / _GIB:.1f} GiB are free; use more hosts, train adapters (policy.lora), or leave "
            "offload_parameters or offload_optimizer out"
        )
