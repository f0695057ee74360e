"""Peak memory of a call beyond its inputs: the allocator's count on a GPU, resident memory of a fresh process on a CPU.

In a process that has run other things, a CPU allocator keeps freed memory and hides later peaks; so each provider is
measured in a process of its own, which frees large blocks at once and resets the high-water mark before the call.
"""

import ctypes
import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from cogrl_bench import timing
from cogrl_bench.operation import Call, Problem, Setting
from cogrl_bench.operations import load

_RUNS = {"score": timing.score, "full": timing.train}
MODES = tuple(_RUNS)
_TIMEOUT_S = 600
_RESET_PEAK = "5"
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
"""glibc: blocks beyond 256 KiB come from the system and go back to it when freed."""


def peaks_mb(operation: str, provider: str, call: Call, problem: Problem, modes: tuple[str, ...]) -> dict[str, float]:
    """mode -> MiB beyond the inputs, gradients counted. Raises RuntimeError when the process that measures fails.

    NotImplementedError where the system does not tell (anything but Linux, on a CPU).
    """
    if problem.setting.device.type == "cuda":
        return {mode: _cuda_peak_mb(call, problem, mode) for mode in modes}
    return _in_a_fresh_process(operation, provider, problem.setting, modes)


def _cuda_peak_mb(call: Call, problem: Problem, mode: str) -> float:
    _forget_gradients(problem)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    _RUNS[mode](call, problem)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _in_a_fresh_process(operation: str, provider: str, setting: Setting, modes: tuple[str, ...]) -> dict[str, float]:
    if not Path("/proc/self/clear_refs").exists():
        raise NotImplementedError("peak memory on a CPU is measured through /proc, which this system does not have")
    path = os.pathsep.join([folder for folder in sys.path if folder])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cogrl_bench.memory"],
            input=pickle.dumps((operation, provider, setting, modes, torch.get_num_threads())),
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=os.environ | AT_ONCE | {"PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took longer than {_TIMEOUT_S} s") from None
    lines = done.stdout.decode().splitlines()
    if done.returncode or not lines:
        said = done.stderr.decode().strip().splitlines()[-1:] or ["no message; perhaps out of memory"]
        raise RuntimeError(f"status {done.returncode}: {said[0]}")
    return json.loads(lines[-1])


def measure_here(operation: str, provider: str, setting: Setting, modes: tuple[str, ...]) -> dict[str, float]:
    """In a fresh process only. The first call of a mode warms the libraries up, the second is measured."""
    found = load(operation)
    problem = found.problem(setting)
    call = found.providers[provider].open(setting)
    for mode in modes:
        _RUNS[mode](call, problem)
    found = {}
    for mode in modes:
        _forget_gradients(problem)
        found[mode] = resident_peak_mb(partial(_RUNS[mode], call, problem))
    return found


def resident_peak_mb(run: Callable[[], object]) -> float:
    """MiB that `run` needs beyond what the process holds; in a fresh process, with AT_ONCE in its environment."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    before = _status_mb("VmRSS")
    run()
    return max(_status_mb("VmHWM") - before, 0.0)


def _forget_gradients(problem: Problem) -> None:
    for leaf in problem.leaves.values():
        leaf.grad = None
    gc.collect()


def _status_mb(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    *what, threads = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(threads)
    print(json.dumps(measure_here(*what)))
