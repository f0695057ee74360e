"""Whether anything trains, and whether a loss reaches it."""

from collections.abc import Iterable

import torch

from cogrl.doctor.audio_contract import prompts_and_texts
from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.doctor.memory import weights_of


def something_trains(case: Case) -> Iterable[Finding]:
    """Some weights of the policy take gradients, and the learning rate is not 0."""
    name, weights = "what trains", weights_of(case.policy)
    trained, held = sum(w.numbers for w in weights if w.trains), sum(w.numbers for w in weights)
    if not trained:
        yield Finding(
            name,
            "fault",
            f"none of the policy's {held:,} numbers trains: everything is frozen",
            "set policy.train_language_model or policy.train_audio_tower to true, or give policy.lora",
        )
    elif case.stage.optim.lr <= 0:
        yield Finding(name, "fault", f"optim.lr={case.stage.optim.lr}: no step would change anything", "raise it")
    else:
        yield Finding(name, "ok", f"{trained:,} of {held:,} numbers ({100 * trained / held:.2g} %)")


def gradients_arrive(case: Case) -> Iterable[Finding]:
    """The likelihood of a target has a finite gradient in the weights that train, and not 0 in all of them."""
    name, policy = "gradients", case.policy
    prompts, targets = prompts_and_texts(case, case.clips[-1:])
    policy.zero_grad()
    likelihood = policy.token_logprobs(prompts, targets).logprobs[targets.mask].mean()
    if likelihood.requires_grad:
        likelihood.backward()
    trained = [(key, p) for key, p in policy.named_parameters() if p.requires_grad]
    broken = [key for key, p in trained if p.grad is not None and not p.grad.isfinite().all()]
    reached = [key for key, p in trained if p.grad is not None and torch.count_nonzero(p.grad)]
    policy.zero_grad()
    if broken:
        yield Finding(name, "fault", f"the gradient of {broken[0]} is not finite", "see policy.dtype and the weights")
    elif not reached:
        advice = "what trains takes no part in an answer: look at policy.lora.targets and at what is frozen"
        yield Finding(name, "fault", f"the loss of an answer reaches none of the {len(trained)} tensors", advice)
    else:
        yield Finding(name, "ok", f"the loss of an answer reaches {len(reached)} of {len(trained)} tensors")
