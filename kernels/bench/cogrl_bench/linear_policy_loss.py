"""The head of an RL step: SAPO (arXiv:2511.20347) from hidden states, with gradients to them and the weight."""

from functools import partial

import torch
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from torch import Tensor

from cogrl_bench import data, policy_loss, truth
from cogrl_bench import linear_logprob as head_alone
from cogrl_bench.operation import Call, Operation, Outcome, Problem, Provider, Setting, Work, on_gpu
from cogrl_bench.peers import liger


def problem(setting: Setting) -> Problem:
    """Old log-probabilities are those of the head itself, moved off policy by noise."""
    random = data.Random(setting)
    tensors = data.head_inputs(setting, random) | data.rollout_inputs(setting, random)
    with torch.no_grad():
        now = linear_logprob(
            tensors["hidden"], tensors["weight"], tensors["targets"], softcap=setting.head.softcap, impl="chunked"
        ).logprobs
    old = now + policy_loss.OFF_POLICY * random.normal(setting.tokens).to(now)
    return Problem(setting, tensors | {"old_logprobs": old})


def true(problem: Problem) -> dict[str, Tensor]:
    found = truth.values(problem)
    logprobs = found["logprobs"].requires_grad_()
    old = problem["old_logprobs"].double()
    objective = policy_loss.loss(logprobs, old, problem["advantages"], problem["cu_seqlens"])
    (upstream,) = torch.autograd.grad(objective, logprobs)
    return {
        "objective": objective.detach(),
        "logprobs": logprobs.detach(),
        "entropy": found["entropy"],
    } | truth.gradients(problem, upstream)


def work(setting: Setting, mode: str) -> Work:
    """Rollouts without advantage are scored, for their telemetry, but need no gradient."""
    once = head_alone.work(setting, "score")
    gradients = (1 if setting.frozen_head else 2) * (1 - setting.zero_advantages)
    products = {"score": 1.0, "full": 1.0 + gradients}[mode]
    return Work(once.flops * products, once.bytes * products)


def plain(setting: Setting) -> Call:
    return _in_two_steps(head_alone.all_logits, policy_loss.loss)


def compiled(setting: Setting) -> Call:
    return _in_two_steps(*(torch.compile(f, dynamic=False) for f in (head_alone.all_logits, policy_loss.loss)))


def _in_two_steps(head, loss) -> Call:
    def call(problem: Problem) -> Outcome:
        softcap = problem.setting.head.softcap
        logprobs, entropy = head(problem["hidden"], problem["weight"], problem["targets"], softcap)
        found = loss(logprobs, problem["old_logprobs"], problem["advantages"], problem["cu_seqlens"])
        return {"objective": found, "logprobs": logprobs, "entropy": entropy}

    return call


def one_pass(impl: str, setting: Setting) -> Call:
    """Ours: the gradient is made in the forward, chunk by chunk."""

    def call(problem: Problem) -> Outcome:
        found = linear_policy_loss(
            problem["hidden"],
            problem["weight"],
            problem["targets"],
            problem["advantages"],
            problem["cu_seqlens"],
            config=policy_loss.CONFIG,
            softcap=setting.head.softcap,
            old_logprobs=problem["old_logprobs"],
            impl=impl,
        )
        return {"objective": found.loss, "logprobs": found.logprobs, "entropy": found.entropy}

    return call


def two_pass(setting: Setting) -> Call:
    """Ours in two calls: log-probabilities, then the loss; the logits are computed again in backward."""
    score = head_alone.ours("chunked", setting)
    loss = policy_loss.ours("reference", setting)

    def call(problem: Problem) -> Outcome:
        found = score(problem)
        tensors = {**problem.tensors, "logprobs": found["logprobs"]}
        return {**found, **loss(Problem(setting, tensors))}

    return call


def operation() -> Operation:
    providers = {
        "reference": Provider(plain),
        "torch_compile": Provider(compiled),
        "cogrl_chunked": Provider(partial(one_pass, "chunked"), exact=True),
        "cogrl_triton": Provider(on_gpu(partial(one_pass, "triton")), exact=True),
        "cogrl_two_pass": Provider(two_pass, exact=True),
        "liger": Provider(liger.policy_loss),
    }
    return Operation("linear_policy_loss", problem, true, work, providers)
