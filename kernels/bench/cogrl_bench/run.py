"""Runs a plan: opens the providers, checks each against float64, then times those that are right, round by round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module

import torch
from tqdm import tqdm

from cogrl_bench import check, device, memory, timing
from cogrl_bench.operation import Call, Operation, Problem, Setting
from cogrl_bench.operations import OF_MODELS, load
from cogrl_bench.plan import Plan

BASELINE = "reference"


@dataclass
class Result:
    """One provider on one problem. `status` is "timed", or why it was not; times are milliseconds by mode."""

    operation: str
    provider: str
    setting: Setting
    status: str = "timed"
    errors: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, list[float]] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Times faster than the reference, by mode."""
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    least_ms: Mapping[str, float] = field(default_factory=dict)
    """What the measured copy bandwidth and matmul rate allow, by mode."""
    notes: list[str] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        return self.status == "timed"

    def roofline_percent(self, mode: str) -> float | None:
        if mode not in self.least_ms or not self.times.get(mode):
            return None
        return 100 * self.least_ms[mode] / timing.quantiles(self.times[mode]).p50


Job = tuple[str, Callable[[], list[Result]]]


@dataclass(frozen=True)
class Report:
    plan: Plan
    roofline: device.Roofline
    results: list[Result]


def run(plan: Plan) -> Report:
    """Everything in the plan. A provider that fails is reported and leaves the others alone."""
    roofline = device.measure(plan.device, plan.dtype)
    jobs = [job for name in plan.operations for job in jobs_of(name, plan, roofline)]
    results: list[Result] = []
    with tqdm(jobs, unit="size", disable=None) as bar:
        for label, job in bar:
            bar.set_description(label)
            results += job()
    return Report(plan, roofline, results)


def jobs_of(name: str, plan: Plan, roofline: device.Roofline) -> list[Job]:
    """One a size."""
    if name in OF_MODELS:
        return import_module(OF_MODELS[name]).jobs(name, plan)
    operation = load(name)
    return [
        (f"{name}, {setting.label}", partial(run_one, operation, setting, plan, roofline))
        for setting in plan.settings(operation.uses_head)
    ]


def providers(name: str) -> list[str]:
    """Their names, whether they are installed or not."""
    if name in OF_MODELS:
        return import_module(OF_MODELS[name]).providers(name)
    return list(load(name).providers)


def run_one(operation: Operation, setting: Setting, plan: Plan, roofline: device.Roofline) -> list[Result]:
    """All providers of one operation at one size."""
    names = [name for name in operation.providers if plan.providers is None or name in plan.providers]
    results = {name: Result(operation.name, name, setting) for name in names}
    problem = operation.problem(setting)
    calls = checked_calls(operation, problem, results)
    times = timing.rounds(calls, problem, plan.modes, plan.rounds, plan.cold_cache)
    for name, found in times.items():
        results[name].times = found
        results[name].least_ms = least_ms(operation, setting, plan, roofline)
        if BASELINE in times:
            results[name].ratios = {mode: timing.ratio(found[mode], times[BASELINE][mode]) for mode in plan.modes}
    if plan.memory:
        for name, call in calls.items():
            measure_memory(operation, name, call, problem, plan, results[name])
    return list(results.values())


def checked_calls(operation: Operation, problem: Problem, results: Mapping[str, Result]) -> dict[str, Call]:
    """The providers that are there and right; what is wrong with the others goes into their status."""
    truth = operation.truth(problem)
    calls = {}
    for name, result in results.items():
        provider = operation.providers[name]
        try:
            call = provider.open(problem.setting)
            result.errors = check.errors(call, problem, truth)
        except ImportError as error:
            result.status = f"not installed ({error})"
        except NotImplementedError as error:
            result.status = f"does not do this: {error}"
        except torch.OutOfMemoryError:
            result.status = "out of memory"
            torch.cuda.empty_cache()
        except Exception as error:  # another library's failure must not take the comparison down
            result.status = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        else:
            beyond = check.wrong(result.errors, check.bound(problem, provider.exact))
            if beyond is None:
                calls[name] = call
            else:
                result.status = f"WRONG, not timed: {beyond}"
    return calls


def least_ms(operation: Operation, setting: Setting, plan: Plan, roofline: device.Roofline) -> dict[str, float]:
    works = {mode: operation.work(setting, mode) for mode in plan.modes if mode in ("score", "full")}
    return {mode: roofline.least_ms(work.flops, work.bytes) for mode, work in works.items()}


def measure_memory(operation: Operation, name: str, call: Call, problem: Problem, plan: Plan, result: Result) -> None:
    modes = tuple(mode for mode in plan.modes if mode in memory.MODES)
    try:
        result.memory_mb = memory.peaks_mb(operation.name, name, call, problem, modes)
    except (NotImplementedError, RuntimeError) as error:
        result.notes.append(f"memory not measured: {error}")
