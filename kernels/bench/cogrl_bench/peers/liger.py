"""Liger-Kernel (github.com/linkedin/Liger-Kernel): fused linear cross-entropy, and its fused linear SAPO."""

import torch

from cogrl_bench.operation import Call, Outcome, Problem, Setting, needs_gpu


def cross_entropy(setting: Setting) -> Call:
    """The mean; gradient made in the forward, chunks of logits in the inputs' dtype."""
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    needs_gpu(setting)
    softcap = setting.head.softcap

    def call(problem: Problem) -> Outcome:
        loss = liger_fused_linear_cross_entropy(
            problem["hidden"], problem["weight"], problem["targets"], softcap=softcap
        )
        return {"objective": loss}

    return call


def policy_loss(setting: Setting) -> Call:
    """SAPO from hidden states, a sequence at a time; wants rollouts of equal length."""
    from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss

    if setting.lengths != "uniform" or setting.tokens % setting.rollouts:
        raise NotImplementedError("wants rollouts of equal length")
    if setting.head.softcap is not None:
        raise NotImplementedError("has no softcap")
    loss = LigerFusedLinearGRPOLoss(beta=0.0, loss_type="sapo", use_ref_model=False)
    shape = (setting.rollouts, setting.tokens // setting.rollouts)
    mask = torch.ones(shape, device=setting.device)

    def call(problem: Problem) -> Outcome:
        found, _ = loss(
            problem["hidden"].view(*shape, -1),
            problem["weight"],
            problem["targets"].view(shape),
            mask,
            problem["advantages"],
            old_per_token_logps=problem["old_logprobs"].view(shape),
        )
        return {"objective": found}

    return call
