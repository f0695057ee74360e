"""Log-probability (and entropy, where a provider has it) of targets from hidden states; trained on their mean."""

from functools import partial

import torch
from cogrl_kernels.linear_logprob import linear_logprob
from torch.nn import functional as F

from cogrl_bench import data, truth
from cogrl_bench.operation import Call, Operation, Outcome, Problem, Provider, Setting, Work, on_gpu
from cogrl_bench.peers import cce, liger, quack, torch_native, trl


def problem(setting: Setting) -> Problem:
    return Problem(setting, data.head_inputs(setting, data.Random(setting)))


def true(problem: Problem) -> dict[str, torch.Tensor]:
    found = truth.values(problem)
    upstream = found["logprobs"].new_full((len(problem["targets"]),), -1 / len(problem["targets"]))
    return found | {"objective": -found["logprobs"].mean()} | truth.gradients(problem, upstream)


def work(setting: Setting, mode: str) -> Work:
    """One product to score; one more for each of the two gradients."""
    n, d, v = setting.tokens, setting.head.width, setting.head.vocab
    products = {"score": 1, "full": 2 if setting.frozen_head else 3}[mode]
    return Work(2 * n * d * v * products, products * (n * d + v * d) * setting.dtype.itemsize)


def plain(setting: Setting) -> Call:
    """What one writes without a kernel: all logits in the inputs' dtype, softmax in float32."""

    def call(problem: Problem) -> Outcome:
        return _outcome(*all_logits(problem["hidden"], problem["weight"], problem["targets"], setting.head.softcap))

    return call


def all_logits(hidden, weight, targets, softcap):
    z = F.linear(hidden, weight).float()
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    logprobs = torch.log_softmax(z, -1)
    return logprobs.gather(1, targets[:, None]).squeeze(1), -(logprobs.exp() * logprobs).sum(-1)


def compiled(setting: Setting) -> Call:
    """`torch.compile` of the same."""
    function = torch.compile(all_logits, dynamic=False)

    def call(problem: Problem) -> Outcome:
        return _outcome(*function(problem["hidden"], problem["weight"], problem["targets"], setting.head.softcap))

    return call


def ours(impl: str, setting: Setting) -> Call:
    def call(problem: Problem) -> Outcome:
        softcap = setting.head.softcap
        found = linear_logprob(problem["hidden"], problem["weight"], problem["targets"], softcap=softcap, impl=impl)
        return _outcome(found.logprobs, found.entropy)

    return call


def _outcome(logprobs, entropy) -> Outcome:
    return {"objective": -logprobs.mean(), "logprobs": logprobs, "entropy": entropy}


def operation() -> Operation:
    providers = {
        "reference": Provider(plain),
        "torch_compile": Provider(compiled),
        "cogrl_chunked": Provider(partial(ours, "chunked"), exact=True),
        "cogrl_triton": Provider(on_gpu(partial(ours, "triton")), exact=True),
        "torch_linear_ce": Provider(torch_native.cross_entropy),
        "trl": Provider(trl.logprob),
        "liger": Provider(liger.cross_entropy),
        "cce": Provider(cce.cross_entropy),
        "quack": Provider(quack.cross_entropy),
    }
    return Operation("linear_logprob", problem, true, work, providers)
