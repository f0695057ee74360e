"""A user-defined policy loss, by import path: gradient, terms around it, telemetry, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.own_kind import INPUTS
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from policy_cases import bare, batch, solve
from test_linear_policy_loss import Problem

HERE, OTHERS = __name__, ("old", "ref", "rollout")


def soft_ppo(logprobs, old_logprobs, ratio, advantages, strength=0.1):
    return (
        -torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.3) * advantages)
        + strength * (logprobs - old_logprobs) ** 2
    )


def own_clip(ratio, advantages, low, high):
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def own_gspo(sequence_ratio, advantages):
    return -torch.minimum(sequence_ratio * advantages, sequence_ratio.clamp(1 - 3e-4, 1 + 4e-4) * advantages)


def own_reinforce(logprobs, advantages):
    return -advantages * logprobs


def averaged(ratio, advantages):
    return (-ratio * advantages).mean()


def whitened(ratio, advantages):
    return -ratio * (advantages - advantages.mean())


def with_a_gate(ratio, advantages):
    return -ratio * advantages, ratio


def undefined(log_ratio, advantages):
    return -advantages * log_ratio.sqrt()


def far_away(ratio, advantages):
    return -advantages * ratio.exp()


def constant(advantages):
    return -advantages


def misspelt(ratio, advantage):
    return -ratio * advantage


def greedy(*tensors):
    return tensors[0]


def broken(ratio, advantages):
    return -ratio @ advantages.view(2, -1)


def without_input(strength=1.0):
    return torch.tensor(strength)


NOT_A_FUNCTION = 3


def own(name, **settings):
    return PolicyLossConfig(f"{HERE}.{name}", **settings)


def by_hand(problem, leaves, config, strength):
    """Loss of `soft_ppo` with everything around it, from all logits, in float64 and one row at a time."""
    logprobs, entropy = problem.oracle_logprobs(*leaves)
    given, total, start = problem.given, 0.0, 0
    for stop, advantage in zip(problem.cu_seqlens.tolist()[1:], problem.advantages.double(), strict=True):
        mine = torch.arange(start, stop)[given["mask"][start:stop]]
        start = stop
        lp, old, ref, engine = (x[mine] for x in (logprobs, *(given[f"{n}_logprobs"] for n in OTHERS)))
        ratio = (lp - old).exp()
        loss = -torch.minimum(ratio * advantage, ratio.clamp(0.9, 1.3) * advantage) + strength * (lp - old) ** 2
        loss = loss * (old - engine).exp().clamp(max=config.is_cap)
        loss = loss + config.kl_coef * ((ref - lp).exp() - (ref - lp) - 1) - config.entropy_coef * entropy[mine]
        total = total + loss.sum() / max(len(mine), 1) / len(problem.advantages)
    return total


@pytest.mark.parametrize("impl", ["auto", "chunked", "reference"])
@pytest.mark.parametrize("terms", [{}, {"kl_coef": 0.2, "entropy_coef": 0.05}], ids=["alone", "all terms"])
def test_its_gradient_through_the_one_pass_head_is_autograd_of_the_plain_computation(impl, terms):
    problem = Problem(dtype=torch.float64)
    config = own("soft_ppo", options={"strength": 0.7}, is_cap=1.5, **{"kl_coef": 0.0, "entropy_coef": 0.0} | terms)
    expected = problem.leaves()
    truth = by_hand(problem, expected, config, strength=0.7)
    leaves = problem.leaves()
    out = problem.run(config, impl, leaves, routes=None)
    torch.testing.assert_close(out.loss, truth, rtol=1e-10, atol=1e-12)
    for got, true in zip(
        torch.autograd.grad(3.7 * out.loss, leaves), torch.autograd.grad(3.7 * truth, expected), strict=True
    ):
        torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", ["sequence_mean", "token_mean", "fixed_length"])
@pytest.mark.parametrize(
    ("mine", "ours"),
    [
        (("own_clip", {"options": {"low": 0.1, "high": 0.4}}), ("grpo", {"clip_low": 0.1, "clip_high": 0.4})),
        (("own_gspo", {}), ("gspo", {})),
        (("own_reinforce", {}), ("reinforce", {})),
    ],
    ids=lambda value: value[0],
)
def test_one_of_our_formulas_written_by_a_user_gives_our_loss_and_gradient(mine, ours, reduction):
    around = {"kl_coef": 0.1, "entropy_coef": 0.05, "is_cap": 2.0, "n_routes": 2, "reduction": reduction}
    around |= {"length": 300} if reduction == "fixed_length" else {}
    theirs = solve(batch(), PolicyLossConfig(ours[0], **ours[1], **around))
    own_one = solve(batch(), own(mine[0], **mine[1], **around))
    torch.testing.assert_close(own_one[0].loss, theirs[0].loss, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(own_one[1:], theirs[1:], rtol=1e-12, atol=1e-14)


def test_its_gate_is_the_share_of_the_policy_gradient_that_it_lets_pass():
    call = batch(poison=False) | {"rollout_logprobs": None}
    around = {"kl_coef": 0.1, "entropy_coef": 0.05, "n_routes": 2}
    clips = {"clip_low": 0.1, "clip_high": 0.4}
    expected = policy_loss(**call, config=PolicyLossConfig("grpo", **clips, **around)).metrics
    found = policy_loss(**call, config=own("own_clip", options={"low": 0.1, "high": 0.4}, **around)).metrics
    assert 0.1 < expected["gate"] < 0.9
    torch.testing.assert_close(found.table, expected.table, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["soft_ppo", "own_gspo"])
def test_without_gradients_it_is_scored_with_its_telemetry(context, name):
    problem, config = Problem(), own(name, is_cap=1.5)
    with_gradients = problem.run(config, routes=None)
    with context():
        out = problem.run(config, routes=None)
    torch.testing.assert_close(out.loss, with_gradients.loss.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.metrics["gate"], with_gradients.metrics["gate"], rtol=1e-4, atol=1e-4)


def test_tokens_without_advantage_train_where_the_function_says_so():
    problem, config = Problem(dtype=torch.float64), own("soft_ppo", is_cap=1.5)
    problem.advantages = torch.zeros(5)
    leaves = problem.leaves()
    out = problem.run(config, "chunked", leaves, routes=None)
    expected = problem.leaves()
    truth = by_hand(problem, expected, config, strength=0.1)
    (got,), (true,) = torch.autograd.grad(out.loss, leaves[:1]), torch.autograd.grad(truth, expected[:1])
    assert true.norm() > 1e-3
    torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-12)


def test_masked_and_broken_tokens_do_not_reach_it():
    call = batch((9, 14), poison=False) | {"mask": torch.arange(23) != 4}
    config = own("soft_ppo", kl_coef=0.1, is_cap=2.0)
    call["logprobs"][4], call["old_logprobs"][7] = math.nan, -math.inf
    out, grad, _ = solve(call | {"routes": None}, config)
    assert out.loss.isfinite() and out.metrics["bad"] == 1 and out.metrics["tokens"] == 22
    assert grad.isfinite().all() and grad[4] == grad[7] == 0 and (grad != 0).sum() == 21


def test_inside_a_compiled_step_the_head_calls_it_too():
    torch._dynamo.reset()
    problem, config = Problem(), own("soft_ppo", options={"strength": 0.4}, is_cap=1.5)
    given = problem.inputs_of(config) | {"rows": problem.rows, "temperature": 0.7}

    def step(hidden, weight):
        positional = problem.targets, problem.advantages, problem.cu_seqlens
        return linear_policy_loss(hidden, weight, *positional, config=config, impl="chunked", **given).loss

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(problem.hidden, problem.weight), step(problem.hidden, problem.weight))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("averaged", {}, r"averaged' returned \(\) torch.float64 for 8 tokens; .*one number a token, without a mean"),
        ("with_a_gate", {}, r"with_a_gate' returned a tuple for 8 tokens; a policy loss is a float tensor \(8,\)"),
        ("whitened", {}, "the loss of a token depends on which others are there"),
        ("undefined", {}, "a loss that is not finite: nan for log_ratio=-0.3, advantages=-1"),
        ("constant", {}, "has no gradient to the log-probabilities"),
        ("misspelt", {}, "asks for 'advantage', which it is not given; did you mean 'advantages'?"),
        (
            "own_clip",
            {"options": {"low": 0.1}},
            "asks for 'high', which it is not given.*what else it takes needs a default",
        ),
        ("own_clip", {"options": {"low": 0.1, "hihg": 0.1}}, "no option 'hihg'; did you mean 'high'?"),
        ("soft_ppo", {"options": {"ratio": 1.0}}, "no option 'ratio'"),
        ("greedy", {}, r"asks for '\*tensors'"),
        ("broken", {}, "broken' failed on eight tokens: RuntimeError"),
        ("without_input", {}, "asks for none of logprobs, old_logprobs"),
        ("own_clp", {}, f"did you mean 'own_clip'. {HERE} has no 'own_clp'"),
        ("NOT_A_FUNCTION", {}, "is no function but 3"),
        ("soft_ppo", {"clip_low": 0.1}, "clip_low=0.1 has no meaning for kind=.*under options"),
        ("soft_ppo", {"tau_pos": 0.1}, "tau_pos=0.1 has no meaning for kind=.*under options"),
    ],
)
def test_a_function_that_is_no_policy_loss_is_refused_before_it_trains(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        own(kind, **settings)


def test_a_module_that_can_not_be_imported_is_named_with_its_error(tmp_path, monkeypatch):
    (tmp_path / "half_written_losses.py").write_text("def mine(ratio, advantages:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"half_written_losses.mine' can not be imported: SyntaxError"):
        PolicyLossConfig("half_written_losses.mine")
    with pytest.raises(ValueError, match=r"nowhere_losses.mine' can not be imported: ModuleNotFoundError"):
        PolicyLossConfig("nowhere_losses.mine")
    with pytest.raises(ValueError, match=r"options={'low': 0.1} have no meaning for kind='grpo'"):
        PolicyLossConfig("grpo", options={"low": 0.1})


def test_a_loss_that_stops_being_finite_in_training_is_refused_with_the_token():
    call = bare(lengths=(3,), poison=False) | {"mask": None, "advantages": torch.ones(1).double()}
    call["logprobs"] = call["old_logprobs"] + torch.tensor([0.0, 19.0, 0.0]).double()
    with pytest.raises(ValueError, match=r"far_away' returned a loss that is not finite: -inf for ratio=1.78\d+e\+08"):
        policy_loss(**call, config=own("far_away"))


@pytest.mark.parametrize("operation", ["policy_loss", "linear_policy_loss"])
def test_triton_is_refused_since_it_is_python(operation):
    message = f"{operation}: impl='triton', but kind='{HERE}.own_clip' is a Python function"
    config, problem = own("own_clip", options={"low": 0.1, "high": 0.4}, is_cap=1.5), Problem()
    with pytest.raises(NotImplementedError, match=message):
        if operation == "policy_loss":
            policy_loss(**bare(), config=replace(config, is_cap=None), impl="triton")
        else:
            problem.run(config, "triton")


def test_every_input_is_there_by_its_name():
    problem = Problem()
    seen.clear()
    problem.run(own("asks_for_everything", is_cap=1.5), "reference", routes=None)
    assert seen and all(tuple(x) == tuple(INPUTS) for x in seen)


seen = []


def asks_for_everything(logprobs, old_logprobs, log_ratio, ratio, sequence_ratio, advantages):
    torch.testing.assert_close(logprobs - old_logprobs, log_ratio)
    torch.testing.assert_close(log_ratio.clamp(-20, 20).exp(), ratio)
    seen.append(["logprobs", "old_logprobs", "log_ratio", "ratio", "sequence_ratio", "advantages"])
    return -sequence_ratio * advantages
