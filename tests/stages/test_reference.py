"""KL to a reference and truncated importance sampling, from a real fit: held to float64 formulas on every logit."""

import copy
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from test_rl import CountsTokens, batches, stage_of

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.reference import Reference
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Grpo
from cogrl.stages.objective import Objective

SAMPLING = Sampling(temperature=0.8, max_new_tokens=6)
KL, CAP = 0.5, 1.1
CASES = {
    "kl": {"kl_coef": KL},
    "is": {"is_cap": CAP},
    "both": {"kl_coef": KL, "is_cap": CAP},
    "k2": {"kl_coef": KL, "kl_estimator": "k2"},
}


class CoarseEngine(HFEngine):
    """Samples from the policy; its log-probabilities are off, as those of an engine in low precision are."""

    def __init__(self, size: float = 0.3) -> None:
        self.size = size

    def sample(self, *args, **kwargs):
        rollouts = super().sample(*args, **kwargs)
        g = torch.Generator().manual_seed(1)
        noise = self.size * torch.randn(rollouts.sampling_logprobs.shape, generator=g)
        return replace(rollouts, sampling_logprobs=rollouts.sampling_logprobs + noise * rollouts.completions.mask)


@pytest.fixture
def moved_dir(policy, tmp_path):
    """A policy with the same tokenizer and audio modules and other weights."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    policy.save(tmp_path / "moved")
    return str(tmp_path / "moved")


def double(folder) -> Qwen2Audio:
    return Qwen2Audio(str(folder), dtype="float64").load()


def fit(stage, clips, accumulate=1, steps=2):
    """Seen by each training step: (weights before it, what it trains on, loss); and the gradients of each update."""
    seen, grads = [], []
    update = stage.update

    def spy(part):
        weights = copy.deepcopy(stage.policy.state_dict())
        loss = update(part)
        seen.append((weights, part, loss.detach().clone()))
        return loss

    stage.update = spy
    stage.configure_optimizers = lambda: torch.optim.SGD(stage.policy.parameters(), lr=0.5)
    stage.on_before_optimizer_step = lambda optimizer: grads.append(gradients(stage.policy))
    trainer = pl.Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    stage._trainer = trainer
    trainer.fit(stage, batches(clips, stage.steps_per_batch, steps))
    return seen, grads


def gradients(policy):
    return torch.cat([p.grad.flatten().clone() for p in policy.parameters() if p.grad is not None])


def logprobs_by_row(policy, part):
    """Of each row's sampled tokens: the row alone, unpadded, through the decoder, and log_softmax of all its logits."""
    embed, decoder = policy.model.get_input_embeddings(), policy.model.model.language_model
    prefixes = policy.prompt_embeds(part.prompts)
    barred = torch.zeros(len(policy.lm_head_weight), dtype=torch.float64)
    barred[[policy.audio_token_id, *policy.audio_markers[0], *policy.audio_markers[1]]] = -1e4
    found = []
    for row, (ids, mask) in enumerate(zip(part.completions.ids, part.completions.mask, strict=True)):
        prompt = row // part.group_size
        prefix, ids = prefixes[prompt][part.prompts.attention_mask[prompt].bool()], ids[mask]
        states = decoder(inputs_embeds=torch.cat([prefix, embed(ids)])[None], use_cache=False).last_hidden_state[0]
        logits = states[len(prefix) - 1 : -1] @ policy.lm_head_weight.T + barred
        found.append((logits / SAMPLING.temperature).log_softmax(-1).gather(1, ids[:, None]).squeeze(1))
    return found


def written_loss(new, old, ref, sampled, advantages, objective):
    """Equation 3 of arXiv:2402.03300 with the KL estimate, weighted by the truncated ratio of trainer to engine."""
    rows = []
    for lp, before, frozen, engine, a in zip(new, old, ref, sampled, advantages, strict=True):
        ratio = (lp - before).exp()
        loss = -torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
        if objective.is_cap is not None:
            loss = loss * (before - engine).exp().clamp(max=objective.is_cap)
        away = frozen - lp
        kl = away.exp() - away - 1 if objective.kl_estimator == "k3" else away.square() / 2
        rows.append((loss + objective.kl_coef * kl).mean())
    return torch.stack(rows).mean()


@pytest.mark.parametrize("case", CASES)
def test_grpo_with_a_kl_penalty_and_truncated_weights_has_the_written_loss_and_gradient(
    tiny_policy_dir, moved_dir, clips, case
):
    objective = Objective("grpo", **CASES[case])
    reference = moved_dir if objective.kl_coef else None
    policy, frozen, start = double(tiny_policy_dir), double(moved_dir), double(tiny_policy_dir)
    stage = stage_of(Grpo, policy, CountsTokens(), objective=objective, reference=reference, sampling=SAMPLING)
    stage.engine = CoarseEngine(0.3 if objective.is_cap else 5e-5)  # uncorrected, as much as rounding explains
    torch.manual_seed(0)
    seen, grads = fit(stage, clips)
    assert len(seen) == len(grads) == 2
    truth = double(tiny_policy_dir)
    for (weights, part, loss), grad in zip(seen, grads, strict=True):
        truth.load_state_dict(weights)
        truth.zero_grad()
        sampled = [lp[mask].double() for lp, mask in zip(part.sampling_logprobs, part.completions.mask, strict=True)]
        with torch.no_grad():
            ref = logprobs_by_row(frozen, part)
            old = sampled if objective.is_cap is None else logprobs_by_row(start, part)
        if objective.is_cap is not None:
            weight = torch.cat([(o - s).exp() for o, s in zip(old, sampled, strict=True)])
            assert (weight > CAP).any() and (weight < 1).any()
        expected = written_loss(logprobs_by_row(truth, part), old, ref, sampled, part.advantages.double(), objective)
        expected.backward()
        wanted = gradients(truth)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        assert (grad - wanted).norm() < 1e-6 * wanted.norm()
    first, second = (torch.cat([w.flatten() for w in s[0].values() if w.is_floating_point()]) for s in seen)
    assert (first - second).abs().max() > 1e-3  # the second update is off-policy


def test_accumulated_micro_batches_with_a_reference_equal_one_batch(tiny_policy_dir, moved_dir, clips, monkeypatch):
    monkeypatch.setattr(torch, "randperm", torch.arange)
    weights = []
    for accumulate in (1, 2):
        torch.manual_seed(0)
        policy = Qwen2Audio(str(tiny_policy_dir)).load()
        objective = Objective("dapo", kl_coef=KL, is_cap=CAP, entropy_coef=0.01)
        stage = stage_of(Grpo, policy, CountsTokens(), objective=objective, reference=moved_dir, sampling=SAMPLING)
        stage.engine = CoarseEngine()
        fit(stage, clips, accumulate)
        weights.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    assert torch.allclose(*weights, atol=1e-5)
    start = Qwen2Audio(str(tiny_policy_dir)).load()
    assert (weights[0] - torch.cat([p.detach().flatten() for p in start.parameters()])).abs().max() > 1e-2


def adapted(tiny_policy_dir, **settings):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(**settings), train_audio_tower=False).load()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    return policy


def test_base_is_the_policy_without_its_adapters(tiny_policy_dir, clips):
    stage = stage_of(
        Grpo,
        adapted(tiny_policy_dir),
        CountsTokens(),
        objective=Objective("grpo", kl_coef=KL),
        reference="base",
        sampling=SAMPLING,
    )
    seen, _ = fit(stage, clips)
    plain = Qwen2Audio(str(tiny_policy_dir)).load()
    for _, part, _ in seen:
        with torch.no_grad():
            base = plain.token_logprobs(part.prompts, part.completions, SAMPLING.temperature, part.group_size).logprobs
        assert (part.ref_logprobs - base).abs().max() < 1e-5
        assert (part.ref_logprobs - part.sampling_logprobs).abs().max() > 0.01


def test_a_reference_is_no_part_of_the_stage_and_stays_what_it_was(tiny_policy_dir, moved_dir, clips):
    alone = stage_of(Grpo, Qwen2Audio(str(tiny_policy_dir)).load(), CountsTokens())
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    objective = Objective("grpo", kl_coef=KL)
    stage = stage_of(Grpo, policy, CountsTokens(), objective=objective, reference=moved_dir)
    fit(stage, clips)
    assert stage.state_dict().keys() == alone.state_dict().keys()
    assert {id(p) for p in stage.parameters()} == {id(p) for p in policy.parameters()}
    frozen, kept = stage.reference.frozen.state_dict(), Qwen2Audio(moved_dir).load().state_dict()
    assert all(torch.equal(frozen[name], kept[name]) for name in kept)
    assert not any(p.requires_grad or p.grad is not None for p in stage.reference.frozen.parameters())


def test_a_reference_follows_the_policy_to_its_device(tiny_policy_dir, policy):
    reference = Reference(str(tiny_policy_dir), policy)
    reference.load()
    with reference.policies() as frozen:
        assert frozen.device.type == "cpu" and not frozen.training and not torch.is_grad_enabled()
    policy.to("meta")
    with reference.policies() as frozen:
        assert {p.device.type for p in frozen.parameters()} == {"meta"}


def test_divergence_and_weights_are_reported(tiny_policy_dir, moved_dir, clips):
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    objective = Objective("grpo", kl_coef=KL, is_cap=CAP, kl_estimator="k2")
    stage = stage_of(Grpo, policy, CountsTokens(), objective=objective, reference=moved_dir, sampling=SAMPLING)
    stage.engine, found = CoarseEngine(), {}
    stage.log = lambda name, value, **_: found.setdefault(name, float(torch.as_tensor(value).detach()))
    ((_, part, _), *_), _ = fit(stage, clips)
    mask = part.completions.mask
    away, drift = (part.old_logprobs - x for x in (part.ref_logprobs, part.sampling_logprobs))
    assert found["policy/kl"] == pytest.approx((away[mask].square() / 2).mean().item(), rel=1e-3)
    assert found["policy/is_weight"] == pytest.approx(drift[mask].exp().clamp(max=CAP).mean().item(), rel=1e-3)


@pytest.mark.parametrize(
    ("objective", "reference", "message"),
    [
        (Objective("grpo", kl_coef=0.1), None, "a KL penalty needs a reference"),
        (Objective("grpo"), "base", "without it a reference is of no use"),
        (Objective("grpo", kl_coef=0.1), "base", "this one has none: train adapters"),
    ],
)
def test_a_penalty_and_its_reference_are_asked_for_together_before_weights_are_read(
    tiny_policy_dir, objective, reference, message
):
    policy = Qwen2Audio(str(tiny_policy_dir))
    with pytest.raises(ValueError, match=message):
        Grpo(policy, objective, reference=reference)
    assert policy.model is None


def test_a_base_that_would_move_is_refused(tiny_policy_dir, clips):
    policy = adapted(tiny_policy_dir, in_full=".*multi_modal_projector")
    stage = stage_of(
        Grpo, policy, CountsTokens(), objective=Objective("grpo", kl_coef=KL), reference="base", sampling=SAMPLING
    )
    with pytest.raises(ValueError, match=r"other tensors train too, such as \S*multi_modal_projector"):
        fit(stage, clips)


def test_a_folder_of_another_model_is_refused_as_reference(policy, tiny_omni_dir, smoke_texts, tmp_path):
    from cogrl.models.tiny import build_tiny_model

    small = {"mel_bins": 16, "tower_width": 16, "tower_layers": 1, "width": 32, "layers": 1}
    build_tiny_model(tmp_path / "words", smoke_texts, vocab_size=380, **small)
    build_tiny_model(tmp_path / "other_bins", smoke_texts, vocab_size=400, **(small | {"mel_bins": 20}))
    for folder, error, message in (
        (tmp_path, FileNotFoundError, "holds no config.json"),
        (tiny_omni_dir, ValueError, "which is no Qwen2Audio as the policy is"),
        (tmp_path / "words", ValueError, "has another vocabulary than the policy"),
        (tmp_path / "other_bins", ValueError, "has another feature extractor than the policy"),
    ):
        with pytest.raises(error, match=message):
            Reference(str(folder), policy).load()
