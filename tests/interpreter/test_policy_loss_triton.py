"""The Triton policy loss in the interpreter: held to the same loops over floats as the reference."""

import pytest
import torch
from cogrl_kernels import policy_kernel_triton, policy_loss_triton
from cogrl_kernels.policy_loss import policy_loss
from cogrl_kernels.policy_op import policy_loss_op
from policy_cases import EVERYTHING, KINDS, bare, batch, check_against_truth, clamped, config, solve

LENGTHS = (63, 0, 90, 1, 17, 33)
FP32 = torch.float32


@pytest.fixture(autouse=True)
def small_blocks_and_empty_memory_of_nan(monkeypatch):
    """So that short rollouts fill several blocks, and that reading what no kernel wrote shows.

    Programs are few, since the interpreter takes longer over each than over its tokens.
    """
    monkeypatch.setattr(policy_loss_triton, "BLOCK", 64)
    monkeypatch.setattr(policy_loss_triton, "PROGRAMS", 1)
    monkeypatch.setattr(policy_loss_triton, "PART", 64)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def whole(**options):
    return batch(LENGTHS, **options)


def alone(**options):
    return bare(lengths=LENGTHS, **options)


CASES = [(config(kind, **EVERYTHING), whole, kind == "sapo") for kind in KINDS if kind != "dapo"]
CASES += [(config("gspo", "token_mean", clip_low=0.01, clip_high=0.02, is_cap=0.9, n_routes=2), whole, True)]
CASES += [(config("cispo", "fixed_length", clip_high=0.1), alone, True), (config("grpo"), alone, False)]
CASES += [(config("sapo", tau_pos=p, tau_neg=n), alone, False) for p, n in [(0.3, 12.0), (12.0, 0.3)]]
CASES += [
    (config("reinforce", kl_coef=0.1, kl_estimator=k, n_routes=2, is_cap=2.0), whole, False) for k in ("k1", "k2")
]


@pytest.mark.parametrize("settings, call, per_token", CASES)
def test_it_equals_loops_over_floats(settings, call, per_token):
    check_against_truth(call(per_token=per_token), settings, FP32, "triton")


@pytest.mark.parametrize("kind, sign", [("sapo", 1.0), ("grpo", -1.0), ("gspo", 1.0), ("cispo", -1.0)])
def test_a_clamped_token_has_the_loss_of_the_limit_and_no_gradient(kind, sign):
    for log_ratio in (199.0, -199.0):
        check_against_truth(*clamped(kind, sign, log_ratio), FP32, "triton")


def test_long_rollouts_side_by_side_as_on_a_gpu(monkeypatch):
    monkeypatch.undo()
    check_against_truth(bare(lengths=(1271, 401)), config("gspo", clip_low=0.01, clip_high=0.02), FP32, "triton")


@pytest.mark.parametrize("per_token", [False, True])
def test_temperatures_may_differ_by_rollout_and_by_token(per_token):
    call = alone(per_token=per_token)
    by_token, by_rollout = (
        torch.rand(n, generator=torch.Generator().manual_seed(3)) * 11.7 + 0.3 for n in (sum(LENGTHS), 6)
    )
    taus = {"tau_pos": by_token.double(), "tau_neg": by_rollout}
    check_against_truth(call, config(**taus), FP32, "triton")
    check_against_truth(call, config(tau_pos=torch.tensor(0.7), tau_neg=1.7), FP32, "triton")


def test_without_old_logprobs_or_a_mask():
    call = alone() | {"old_logprobs": None, "mask": None}
    out, _ = check_against_truth(call, config(), FP32, "triton")
    assert out.metrics["ratio_max"] == out.metrics["ratio_min"] == out.metrics["gate_pos"] == 1


@pytest.mark.parametrize("kind", ["sapo", "dapo"])
def test_global_counts_are_the_denominators(kind):
    counts = {"num_tokens": 5000, "num_rollouts": 24}
    check_against_truth(alone(), config(kind), FP32, "triton", **counts)
    on_device = {name: torch.tensor(value) for name, value in counts.items()}
    check_against_truth(alone(), config(kind), FP32, "triton", **on_device)


@pytest.mark.parametrize("kind, per_token", [("sapo", True), ("gspo", False), ("cispo", False)])
def test_telemetry_is_that_of_the_reference(kind, per_token):
    call, settings = whole(per_token=per_token), config(kind, **EVERYTHING)
    (fused, _, _), (true, _, _) = solve(call, settings, FP32, "triton"), solve(call, settings)
    torch.testing.assert_close(fused.metrics.table.double(), true.metrics.table, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_telemetry_of_what_was_not_given_is_nan():
    metrics = solve(alone(), config(), FP32, "triton")[0].metrics
    assert {n for n, x in metrics.items() if x.isnan()} == {"k1", "k2", "k3", "kl", "is_weight", "entropy"}


def test_how_the_work_is_split_changes_no_bit_of_the_gradient(monkeypatch):
    results = []
    for programs in (1, 12, 12):
        monkeypatch.setattr(policy_loss_triton, "PROGRAMS", programs)
        results.append(solve(whole(), config("gspo", clip_low=0.5, **EVERYTHING), FP32, "triton"))
    (one, one_grad, _), (many, many_grad, _), (repeated, repeated_grad, _) = results
    assert torch.equal(one_grad, many_grad) and torch.equal(many_grad, repeated_grad)
    assert torch.equal(many.loss, repeated.loss) and torch.equal(many.metrics.table, repeated.metrics.table)
    torch.testing.assert_close(one.loss, many.loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n, cu", [(0, [0]), (0, [0, 0, 0]), (3, [0, 3])])
def test_nothing_to_train_is_zero(n, cu):
    logprobs = torch.randn(n, requires_grad=True)
    given = {"advantages": torch.ones(len(cu) - 1), "cu_seqlens": torch.tensor(cu), "mask": torch.zeros(n).bool()}
    out = policy_loss(logprobs, **given, config=config(reduction="token_mean"), impl="triton")
    out.loss.backward()
    assert out.loss == 0 and torch.equal(logprobs.grad, torch.zeros(n))
    assert out.metrics["tokens"] == 0 and out.metrics["gate"].isnan() and out.metrics["ratio_max"].isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_strides(dtype):
    call = {k: x.to(dtype) if x.is_floating_point() else x for k, x in whole(poison=False).items()}
    strided = {k: torch.stack([x, x], -1)[..., 0] for k, x in call.items()}
    _, expected, _ = solve(call, config(**EVERYTHING), dtype, "reference")
    _, grad, _ = solve(strided, config(**EVERYTHING), dtype, "triton")
    assert grad.dtype == dtype
    torch.testing.assert_close(grad, expected, rtol=torch.finfo(dtype).eps, atol=1e-7)


def test_forward_and_backward_are_two_launches(monkeypatch):
    launched = []

    class Counted:
        def __init__(self, name):
            self.name, self.kernel = name, getattr(policy_kernel_triton, name)

        def __getitem__(self, grid):
            launched.append(self.name)
            return self.kernel[grid]

    for name in ("policy_kernel", "sum_kernel"):
        monkeypatch.setattr(policy_kernel_triton, name, Counted(name))
    monkeypatch.setattr(policy_loss_triton, "require_launchable", lambda *_: None)
    solve(alone(), config(), FP32, "triton")
    assert launched == ["policy_kernel", "sum_kernel"]


def operator_arguments(kind, kl, bonus):
    call = {k: x.float() if x.is_floating_point() else x for k, x in batch((5, 0, 7), poison=False).items()}
    vectors = [call[k] for k in ("old_logprobs", "ref_logprobs", "rollout_logprobs", "mask", "routes")]
    leaves = [call[k].requires_grad_() for k in ("logprobs", "entropy")]
    scalars = torch.tensor([0.8, 1.2, 0.1, 0.05, 2.0, 1.0, 1.0, 1.05, 3.0])
    rest = [torch.tensor(2.0), None, None, scalars, kind, "sequence_mean", kl, bonus, 2]
    return (*leaves, call["advantages"], call["cu_seqlens"], *vectors, *rest)


@pytest.mark.parametrize("kind, kl, bonus", [("sapo", "k3", True), ("gspo", "", False)])
def test_the_operator_passes_the_checks_of_pytorch(kind, kl, bonus):
    torch.library.opcheck(policy_loss_op, operator_arguments(kind, kl, bonus))


def test_it_compiles_into_one_graph():
    call = {k: x.float() if x.is_floating_point() else x for k, x in whole().items()}
    leaf = call.pop("logprobs").requires_grad_()
    function = lambda lp: policy_loss(lp, **call, config=config(**EVERYTHING), impl="triton").loss
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    (got,), (wanted,) = (torch.autograd.grad(f(leaf), leaf) for f in (compiled, function))
    torch.testing.assert_close(got, wanted)


def test_it_is_not_differentiated_twice():
    tensors = {name: x.float() if x is not None and x.is_floating_point() else x for name, x in bare().items()}
    logprobs = tensors.pop("logprobs").requires_grad_()
    loss = policy_loss(logprobs, **tensors, config=config(), impl="triton").loss
    slope = torch.autograd.grad(loss.square(), logprobs, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
