"""`cogrl_bench.grouped` among the other operations: a smaller model, and its figures in the common tables."""

import gc
from dataclasses import replace
from functools import partial

import torch

from cogrl_bench import check, grouped, timing
from cogrl_bench.operation import Setting
from cogrl_bench.operations import GROUPED
from cogrl_bench.plan import GROUPED_TOKENS, Plan
from cogrl_bench.run import BASELINE, Job, Result

PROVIDERS = {"plain": BASELINE, "plain, completion logits only": "reference_sliced", "shared prefix": "cogrl_shared"}
SMALL = grouped.Setting(width=192, layers=2, heads=3, kv_heads=1, intermediate=512, tower_width=128, tower_layers=2)
"""Seconds a pass; `python -m cogrl_bench.grouped` measures a model of ten times the size."""
BOUND = check.Bound(values=1e-5, relative=1e-5)
"""Against the plain pass, both in float32."""
MODES = {"forward": "fwd", "backward": "bwd", "full": "full"}


def providers(name: str) -> list[str]:
    """Those of the pass."""
    return list(PROVIDERS.values())


def jobs(name: str, plan: Plan) -> list[Job]:
    """One for each number of tokens; on the CPU, whatever the rest of the plan runs on."""
    found = []
    for tokens in plan.tokens or GROUPED_TOKENS:
        size = replace(SMALL, completion=max(tokens // plan.rollouts, 2), group=plan.rollouts, seed=plan.seed)
        found.append((f"{name}, {tokens} tokens", partial(results, size, plan)))
    return found


def results(size: grouped.Setting, plan: Plan) -> list[Result]:
    """Every pass, in interleaved rounds. One that differs from the plain pass is reported and its times are dropped."""
    given = grouped.problem(size)
    names = [name for name in grouped.PASSES if plan.providers is None or PROVIDERS[name] in plan.providers]
    found = {name: Result(GROUPED, PROVIDERS[name], described(size)) for name in names}
    with timing.quiet_collector():
        plain = values, true = one_pass(given, "plain")
        for name, result in found.items():
            logprobs, gradients = plain if name == "plain" else one_pass(given, name)
            apart = float((logprobs - values).abs().max())
            result.errors = {"logprobs": apart, "grad all": grouped.relative(gradients, true)}
            result.status = timed_or_wrong(result)
        right = [name for name in names if found[name].timed]
        times = {name: {mode: [] for mode in MODES.values()} for name in right}
        for _ in range(plan.grouped_rounds):
            for name in right:
                gc.collect(0)
                seconds, _ = grouped.train(given, name)
                for part, mode in MODES.items():
                    times[name][mode].append(1e3 * seconds[part])
    for name in right:
        found[name].times = times[name]
        if "plain" in times:
            found[name].ratios = {mode: timing.ratio(times[name][mode], times["plain"][mode]) for mode in times[name]}
        if plan.memory:
            found[name].memory_mb = {"full": grouped.peak_mb(size, name)}
    bounds = grouped.ideal(size, given)
    for name in set(right) & {grouped.OURS}:
        least = f"{bounds['decoder']:.2f} times fewer tokens in the decoder, {bounds['with_tower']:.2f} with the tower"
        found[name].notes.append(f"the ideal is {least}")
    return list(found.values())


def one_pass(given: grouped.Problem, name: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities and gradients."""
    _, logprobs = grouped.train(given, name)
    return logprobs, grouped.gradients(given)


def timed_or_wrong(result: Result) -> str:
    beyond = check.wrong(result.errors, BOUND)
    return "timed" if beyond is None else f"WRONG, not timed: {beyond}"


def described(size: grouped.Setting) -> Setting:
    return Setting(
        tokens=size.group * size.completion,
        head=None,
        device=torch.device("cpu"),
        dtype=torch.float32,
        rollouts=size.group,
        seed=size.seed,
        of=f"{size.group} completions of an audio prompt of {size.prompt} tokens, float32 on the CPU",
    )
