"""Run by test_strategies.py in two processes: each case in turn; each rank writes what it saw of them.

ranks.py POLICY MANIFEST OUT CASES, where CASES is a JSON list of settings.
"""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from cases import clips_of, trained
from torch import nn
from torch.distributed.tensor import DTensor

from cogrl.parallel.fsdp import FsdpStrategy
from cogrl.parallel.zero import ZeroStrategy

STRATEGIES: dict[str, Callable[[], Any]] = {
    "ddp": lambda: "ddp",
    "zero1": lambda: ZeroStrategy(1),
    "zero2": lambda: ZeroStrategy(2),
    "zero2_offload": lambda: ZeroStrategy(2, offload_optimizer=True),
    "zero3": lambda: ZeroStrategy(3, persistence_threshold=0),
    "zero3_default": lambda: ZeroStrategy(3),
    "zero3_offload": lambda: ZeroStrategy(3, True, True, persistence_threshold=0),
    "fsdp": FsdpStrategy,
}


def counted_gathers() -> Callable[[nn.Module], int]:
    """The returned function says how often all weights of a policy were gathered at once, and counts no further."""
    import deepspeed

    gather, sizes = deepspeed.zero.GatheredParameters, []

    class Counted(gather):
        def __init__(self, params: Any, *args: Any, **settings: Any) -> None:
            params = list(params) if isinstance(params, Iterable) else [params]
            sizes.append(len(params))
            super().__init__(params, *args, **settings)

    deepspeed.zero.GatheredParameters = Counted

    def stop(policy: nn.Module) -> int:
        deepspeed.zero.GatheredParameters = gather
        return sizes.count(len(list(policy.parameters())))

    return stop


def held_whole(policy: nn.Module) -> int:
    """How many weights of the policy this rank holds whole."""
    return sum(not isinstance(p, DTensor) and p.numel() > 0 for p in policy.parameters())


def main(policy: str, manifest: str, out: str, cases: str) -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    rank, clips, seen = int(os.environ["LOCAL_RANK"]), clips_of(manifest), []
    for case in json.loads(cases):
        began = time.monotonic()
        strategy = STRATEGIES[case.pop("strategy")]()
        gathers = counted_gathers()
        stage, losses = trained(folder=policy, clips=clips, rank=rank, strategy=strategy, **case)
        seen.append(
            {
                "losses": losses,
                "gathers": gathers(stage.policy),
                "held_whole": held_whole(stage.policy),
                "lengths": stage.buffer.lengths if hasattr(stage, "buffer") else [],
                "seconds": time.monotonic() - began,
            }
        )
        print(case, losses, round(time.monotonic() - began, 1), flush=True)
    with open(f"{out}/rank{rank}.json", "w") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
