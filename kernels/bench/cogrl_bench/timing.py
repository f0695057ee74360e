"""Interleaved timing: every round runs every provider, so that a drifting clock or a busy neighbour hits all alike."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cogrl_bench.device import synchronize
from cogrl_bench.operation import Call, Problem

CACHE_BYTES = 2**28
MODES = {"score": "no-grad-forward", "fwd": "forward", "bwd": "backward", "full": "full"}
"""Names on the command line -> names in the CSV. forward, backward and full come from one and the same iteration."""


@dataclass(frozen=True)
class Quantiles:
    """Of one time, in milliseconds."""

    p20: float
    p50: float
    p80: float


class _HostClock:
    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        self.marks.append(time.perf_counter())

    def intervals_ms(self) -> list[float]:
        return [1e3 * (b - a) for a, b in zip(self.marks, self.marks[1:], strict=False)]


class _CudaClock:
    def __init__(self) -> None:
        self.marks: list[torch.cuda.Event] = []

    def mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(event)

    def intervals_ms(self) -> list[float]:
        self.marks[-1].synchronize()
        return [a.elapsed_time(b) for a, b in zip(self.marks, self.marks[1:], strict=False)]


_CLOCKS: Mapping[str, Callable] = {"cpu": _HostClock, "cuda": _CudaClock}


def score(call: Call, problem: Problem) -> dict[str, float]:
    """Forward without gradient."""
    clock = _CLOCKS[problem.setting.device.type]()
    with torch.no_grad():
        clock.mark()
        call(problem)
        clock.mark()
    return {"score": clock.intervals_ms()[0]}


def train(call: Call, problem: Problem) -> dict[str, float]:
    """Forward and backward; an implementation that makes its gradient in the forward has next to no backward."""
    for leaf in problem.leaves.values():
        leaf.grad = None
    clock = _CLOCKS[problem.setting.device.type]()
    clock.mark()
    outcome = call(problem)
    clock.mark()
    outcome["objective"].backward()
    clock.mark()
    forward, backward = clock.intervals_ms()
    return {"fwd": forward, "bwd": backward, "full": forward + backward}


def rounds(
    calls: Mapping[str, Call], problem: Problem, modes: tuple[str, ...], repeats: int, cold: bool = False
) -> dict[str, dict[str, list[float]]]:
    """provider -> mode -> milliseconds, one entry a round. `cold` empties the cache before every run."""
    runs = [score] * ("score" in modes) + [train] * bool({"fwd", "bwd", "full"} & set(modes))
    found: dict[str, dict[str, list[float]]] = {name: {mode: [] for mode in modes} for name in calls}
    device, names = problem.setting.device, list(calls)
    flush = torch.empty(CACHE_BYTES if cold else 0, dtype=torch.uint8, device=device)
    with quiet_collector():
        for number in range(repeats + 1):
            first = number % max(len(names), 1)  # no provider always follows the same one
            for name in names[first:] + names[:first]:
                for run in runs:
                    gc.collect(0)
                    flush.zero_()
                    synchronize(device)
                    times = run(calls[name], problem)
                    if number:  # round 0 warms up
                        for mode in set(times) & set(modes):
                            found[name][mode].append(times[mode])
    for leaf in problem.leaves.values():
        leaf.grad = None
    return found


def quantiles(times: list[float]) -> Quantiles:
    at = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64))
    return Quantiles(*at.tolist())


def ratio(times: list[float], baseline: list[float]) -> float:
    """How many times faster than the baseline: the median of the rounds' own ratios."""
    pairs = [b / t for t, b in zip(times, baseline, strict=True)]
    return float(torch.tensor(pairs).median())


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
