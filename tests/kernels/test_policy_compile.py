"""The policy loss inside `torch.compile`, without a graph break, and its operator as PyTorch checks operators."""

import shutil

import pytest
import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from cogrl_kernels.policy_op import policy_loss_op
from cogrl_kernels.policy_tokens import chunk_loss, policy_tokens
from policy_cases import batch


def settings(kind, **options):
    length = 300 if kind == "dr_grpo" else None
    return PolicyLossConfig(kind=kind, length=length, kl_coef=0.1, entropy_coef=0.05, is_cap=2.0, n_routes=2, **options)


def call(**changes):
    tensors = batch((63, 0, 40, 33)) | changes
    return tensors | {name: tensors[name].requires_grad_() for name in ("logprobs", "entropy")}


def gradients(function, tensors):
    out = function(tensors)
    return out.loss.detach(), *torch.autograd.grad(out.loss, [tensors["logprobs"], tensors["entropy"]])


@pytest.mark.parametrize("kind", ["sapo", "grpo", "gspo", "cispo"])
def test_one_graph_equals_eager(kind):
    config, tensors = settings(kind), call()
    function = lambda tensors: policy_loss(**tensors, config=config)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(gradients(compiled, tensors), gradients(function, tensors), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(compiled(tensors).metrics.table, function(tensors).metrics.table, rtol=1e-12, atol=1e-12)


def test_a_temperature_in_a_tensor_compiles_once():
    compilations = []

    def backend(graph, _):
        compilations.append(graph)
        return graph.forward

    torch._dynamo.reset()
    tensors = call()
    function = lambda tau: policy_loss(**tensors, config=settings("sapo", tau_pos=tau, tau_neg=tau * 1.05)).loss
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    for tau in (1.0, 0.3, 12.0):
        tau = torch.tensor(tau, dtype=torch.float64)
        torch.testing.assert_close(compiled(tau), function(tau))
    assert len(compilations) == 1


def test_values_are_still_checked_inside_a_graph():
    torch._dynamo.reset()
    function = lambda cu: policy_loss(torch.zeros(4), torch.zeros(2), cu, config=PolicyLossConfig()).loss
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    compiled(torch.tensor([0, 2, 4]))
    with pytest.raises(RuntimeError, match=r"cu_seqlens must rise from 0 to len\(logprobs\)"):
        compiled(torch.tensor([0, 2, 3]))


def test_the_loss_of_a_chunk_is_one_graph():
    config, tensors = settings("sapo"), call()
    given = {k: tensors[k] for k in ("old_logprobs", "ref_logprobs", "rollout_logprobs", "mask", "routes")}

    def chunked(tensors):
        lp, entropy = tensors["logprobs"], tensors["entropy"]
        tokens = policy_tokens(lp, tensors["advantages"], tensors["cu_seqlens"], config, **given)
        return sum(
            chunk_loss(lp[i : i + 50], entropy[i : i + 50], tokens.part(slice(i, i + 50)), config) for i in (0, 50, 100)
        )

    torch._dynamo.reset()
    loss = torch.compile(chunked, fullgraph=True, backend="aot_eager")(tensors)
    whole = policy_loss(**tensors, config=config).loss
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_one_graph_equals_eager_when_inductor_makes_the_code():
    config, tensors = settings("sapo"), call()
    function = lambda tensors: policy_loss(**tensors, config=config)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True)
    torch.testing.assert_close(gradients(compiled, tensors), gradients(function, tensors), rtol=1e-12, atol=1e-14)


def test_the_fused_operator_has_shapes_without_running():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        n, half = 11, torch.bfloat16
        vector, scalars = torch.empty(n, dtype=half), torch.empty(9)
        given = [vector, vector, torch.empty(2), torch.empty(3, dtype=torch.int32), *[None] * 8, scalars]
        loss, table, grad, entropy_grad = policy_loss_op(*given, "sapo", "sequence_mean", "", True, 2)
        assert loss.shape == () and table.shape[:2] == (2, 3) and grad.shape == entropy_grad.shape == (n,)
        assert {x.dtype for x in (loss, table, grad, entropy_grad)} == {torch.float32}
