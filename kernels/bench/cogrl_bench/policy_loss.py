"""The SAPO loss (arXiv:2511.20347) from log-probabilities, with its telemetry where a provider has it."""

from functools import partial

import torch
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from torch import Tensor

from cogrl_bench import data
from cogrl_bench.operation import Call, Operation, Outcome, Problem, Provider, Setting, Work, on_gpu

TAU_POS, TAU_NEG = 1.0, 1.05
CONFIG = PolicyLossConfig(kind="sapo", tau_pos=TAU_POS, tau_neg=TAU_NEG)
OFF_POLICY = 0.5
"""Standard deviation of the log-ratio."""


def problem(setting: Setting) -> Problem:
    """Log-probabilities are float32 or wider, as they are stored in practice."""
    random = data.Random(setting)
    dtype = torch.promote_types(setting.dtype, torch.float32)
    logprobs = (-3 * random.uniform(setting.tokens)).to(dtype)
    old = logprobs + OFF_POLICY * random.normal(setting.tokens)
    tensors = {"logprobs": logprobs.requires_grad_(), "old_logprobs": old.to(dtype)}
    return Problem(setting, tensors | data.rollout_inputs(setting, random))


def loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, cu_seqlens: Tensor) -> Tensor:
    """What one writes: a chain of element-wise operations, averaged over tokens, then over rollouts."""
    lengths = cu_seqlens.diff().long()
    per_token = advantages.repeat_interleave(lengths, output_size=len(logprobs)).to(logprobs)
    tau = TAU_NEG + (TAU_POS - TAU_NEG) * (per_token > 0).to(logprobs)
    ratio = (logprobs - old_logprobs).exp()
    gated = -4 / tau * torch.sigmoid(tau * (ratio - 1)) * per_token
    weight = (1.0 / lengths.clamp(min=1).to(logprobs)).repeat_interleave(lengths, output_size=len(logprobs))
    return (gated * weight).sum() / len(lengths)


def true(problem: Problem) -> dict[str, Tensor]:
    logprobs = problem["logprobs"].detach().double().requires_grad_()
    objective = loss(logprobs, problem["old_logprobs"].double(), problem["advantages"], problem["cu_seqlens"])
    (gradient,) = torch.autograd.grad(objective, logprobs)
    return {"objective": objective.detach(), "grad logprobs": gradient}


def work(setting: Setting, mode: str) -> Work:
    """Log-probabilities old and new are read once; with a gradient, one value a token is written."""
    return Work(0.0, {"score": 8, "full": 12}[mode] * setting.tokens)


def plain(setting: Setting) -> Call:
    return _from_function(loss)


def compiled(setting: Setting) -> Call:
    return _from_function(torch.compile(loss, dynamic=False))


def _from_function(function) -> Call:
    def call(problem: Problem) -> Outcome:
        inputs = (problem[name] for name in ("logprobs", "old_logprobs", "advantages", "cu_seqlens"))
        return {"objective": function(*inputs)}

    return call


def ours(impl: str, setting: Setting) -> Call:
    def call(problem: Problem) -> Outcome:
        found = policy_loss(
            problem["logprobs"],
            problem["advantages"],
            problem["cu_seqlens"],
            config=CONFIG,
            old_logprobs=problem["old_logprobs"],
            impl=impl,
        )
        return {"objective": found.loss}

    return call


def operation() -> Operation:
    providers = {
        "reference": Provider(plain),
        "torch_compile": Provider(compiled),
        "cogrl_eager": Provider(partial(ours, "reference"), exact=True),
        "cogrl_triton": Provider(on_gpu(partial(ours, "triton")), exact=True),
    }
    return Operation("policy_loss", problem, true, work, providers, uses_head=False)
