"""`cogrl_bench.rollout` among the other operations: a smaller model, and its figures in the common tables."""

from dataclasses import replace
from functools import partial

from cogrl_bench import rollout, timing
from cogrl_bench.grouped_results import SMALL, described, timed_or_wrong
from cogrl_bench.operations import GRPO_STEP, ROLLOUT
from cogrl_bench.plan import GROUPED_TOKENS, Plan
from cogrl_bench.run import BASELINE, Job, Result

PROVIDERS = {rollout.PLAIN: BASELINE, "prompt repeated": "cogrl_repeated", "shared": "cogrl_shared"}
MODES = {ROLLOUT: "score", GRPO_STEP: "full"}


def jobs(name: str, plan: Plan) -> list[Job]:
    """One for each number of tokens; on the CPU, whatever the rest of the plan runs on."""
    found = []
    for tokens in plan.tokens or GROUPED_TOKENS:
        size = replace(SMALL, completion=max(tokens // plan.rollouts, 2), group=plan.rollouts, seed=plan.seed)
        found.append((f"{name}, {tokens} tokens", partial(results, name, size, plan)))
    return found


def providers(name: str) -> list[str]:
    """Of the rollout or of the step."""
    return [PROVIDERS[run] for run in rollout.PASSES[name]]


def results(name: str, size: rollout.grouped.Setting, plan: Plan) -> list[Result]:
    """Every pass, in interleaved rounds. One that differs from the plain loop is reported and its times are dropped."""
    given, mode = rollout.problem(size), MODES[name]
    runs = {
        run: call
        for run, call in rollout.PASSES[name].items()
        if plan.providers is None or PROVIDERS[run] in plan.providers
    }
    found = {run: Result(name, PROVIDERS[run], described(size)) for run in runs}
    true = rollout.PASSES[name][rollout.PLAIN](given)
    for run, result in found.items():
        result.errors = rollout.errors(true if run == rollout.PLAIN else runs[run](given), true)
        result.status = timed_or_wrong(result)
    right = {run: runs[run] for run in runs if found[run].timed}
    times = rollout.timed(given, right, plan.grouped_rounds)
    for run, pairs in times.items():
        found[run].times = {mode: [1e3 * wall for wall, _ in pairs]}
        if rollout.PLAIN in times:
            plain = [wall for wall, _ in times[rollout.PLAIN]]
            found[run].ratios = {mode: timing.ratio([wall for wall, _ in pairs], plain)}
    return list(found.values())
