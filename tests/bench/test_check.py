"""A provider that is wrong is reported and never timed."""

import pytest
import torch
from cogrl_bench import check, linear_logprob, linear_policy_loss, run
from cogrl_bench.device import Roofline
from cogrl_bench.operation import Operation, Provider, Work
from cogrl_bench.plan import Plan


def shifted(problem):
    moved = {**problem.tensors, "targets": problem["targets"].roll(1)}
    return linear_logprob.plain(problem.setting)(type(problem)(problem.setting, moved))


def without_gradient_of_the_weight(problem):
    found = linear_logprob.all_logits(problem["hidden"], problem["weight"].detach(), problem["targets"], None)
    return {"objective": -found[0].mean(), "logprobs": found[0]}


def twice_the_gradient(problem):
    logprobs, _ = linear_logprob.all_logits(problem["hidden"], problem["weight"], problem["targets"], None)
    return {"objective": -2 * logprobs.mean() + logprobs.mean().detach(), "logprobs": logprobs}


def not_a_number(problem):
    found = linear_logprob.plain(problem.setting)(problem)
    return {**found, "entropy": found["entropy"] * float("nan")}


WRONG = {
    "labels shifted by one": (shifted, "logprobs off by"),
    "no gradient to the weight": (without_gradient_of_the_weight, "grad weight off by 1.0e+00"),
    "a gradient twice as large": (twice_the_gradient, "grad hidden off by 1.0e+00"),
    "not a number": (not_a_number, "entropy off by inf"),
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_provider_is_named_with_its_error_and_not_timed(setting, what, exact):
    call, words = WRONG[what]
    providers = {
        "reference": Provider(linear_logprob.plain),
        "broken": Provider(lambda setting: call, exact=exact),
    }
    operation = Operation("linear_logprob", linear_logprob.problem, linear_logprob.true, linear_logprob.work, providers)
    plan = Plan(("linear_logprob",), torch.device("cpu"), torch.float32, repeats=1, memory=False)
    good, bad = run.run_one(operation, setting(), plan, Roofline(1e10, 1e11))
    assert good.timed and good.times["full"]
    assert bad.status.startswith("WRONG, not timed") and words in bad.status
    assert not bad.times


def rounded_logits(problem):
    z = (problem["hidden"] @ problem["weight"].T).bfloat16().float()
    logprobs = torch.log_softmax(z, -1).gather(1, problem["targets"][:, None]).squeeze(1)
    return {"objective": -logprobs.mean(), "logprobs": logprobs}


def test_rounded_logits_are_usable_from_others_and_wrong_from_us(setting):
    problem = linear_logprob.problem(setting(dtype=torch.bfloat16))
    found = check.errors(rounded_logits, problem, linear_logprob.true(problem))
    assert check.wrong(found, check.bound(problem, exact=False)) is None
    assert "logprobs off by" in check.wrong(found, check.bound(problem, exact=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "operation", [linear_logprob.operation(), linear_policy_loss.operation()], ids=lambda o: o.name
)
def test_ours_keep_their_tolerances(setting, operation, dtype):
    problem = operation.problem(setting(dtype=dtype, zero_advantages=0.25))
    truth = operation.truth(problem)
    for name in ("cogrl_chunked", "cogrl_two_pass"):
        if name in operation.providers:
            found = check.errors(operation.providers[name].open(problem.setting), problem, truth)
            assert {"objective", "logprobs", "entropy", "grad hidden", "grad weight"} == set(found)
            assert check.wrong(found, check.bound(problem, exact=True)) is None


def test_a_provider_that_fails_leaves_the_others_alone(setting):
    def breaks(setting):
        raise RuntimeError("no such luck\nsecond line")

    def absent(setting):
        import surely_not_installed  # noqa: F401

    def refuses(setting):
        raise NotImplementedError("has no softcap")

    providers = {name: Provider(open) for name, open in (("a", breaks), ("b", absent), ("c", refuses))}
    providers["reference"] = Provider(linear_logprob.plain)
    operation = Operation(
        "linear_logprob", linear_logprob.problem, linear_logprob.true, lambda s, m: Work(1.0, 1.0), providers
    )
    plan = Plan(("linear_logprob",), torch.device("cpu"), torch.float32, repeats=1, memory=False)
    results = {r.provider: r for r in run.run_one(operation, setting(), plan, Roofline(1e10, 1e11))}
    assert results["a"].status == "failed: RuntimeError: no such luck"
    assert results["b"].status == "not installed (No module named 'surely_not_installed')"
    assert results["c"].status == "does not do this: has no softcap"
    assert results["reference"].timed
