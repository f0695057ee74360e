"""Credit by section: the tokens of a section are moved by the term that grades it, and by nothing else."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cogrl.formats.paqa import PAQA
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Grpo
from cogrl.stages.section_credit import SectionCredit, section_places
from cogrl.types import Clip, ClipBatch, Completions, Prompts, Role, Rollouts, Scores

FIELDS = {name: f"{name} é x" for name in PAQA.section_names}


def estimate(values):
    return values.nan_to_num(0.0)


@pytest.fixture
def traces(policy, clips):
    """Two completions of a trace, of which the second is cut off in the middle of its words."""
    whole = policy.tokenizer(PAQA.render(FIELDS), add_special_tokens=False).input_ids
    drawn = [whole, whole[: len(whole) // 2]]
    t = len(whole) + 2
    ids, roles = torch.zeros(2, t, dtype=torch.long), torch.full((2, t), int(Role.PAD))
    for row, tokens in enumerate(drawn):
        ids[row, : len(tokens) + 1] = torch.tensor([tokens[0], 5, *tokens[1:]])  # a forced token behind the first one
        roles[row, : len(tokens) + 1] = torch.tensor([1, int(Role.FORCED), *[1] * (len(tokens) - 1)])
    question = replace(clips[0].example, question="Which?", choices=("a", "b"), answer="a")
    texts = [policy.tokenizer.decode(tokens) for tokens in drawn]
    prompts = Prompts(torch.ones(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.long), {})
    clip = Clip(question, clips[0].waveform)
    return Rollouts([clip], ["paqa"], prompts, Completions(ids, roles), torch.zeros(2, t), texts, ["end", "length"], 2)


def test_each_section_is_the_tokens_of_its_field_and_tags(policy, traces):
    places = section_places(traces, policy.tokenizer.decode)
    for section, where in places[0].items():
        text = policy.tokenizer.decode(traces.completions.ids[0, where])
        assert [name for name, field in FIELDS.items() if field in text] == [section]
        assert 1 not in where  # the forced token
    assert list(places[0]) == list(PAQA.section_names)
    assert 0 < len(places[1]) < len(places[0])


def test_a_sections_tokens_have_the_advantage_of_its_term_and_the_rest_that_of_the_total(policy, traces):
    scores = Scores(torch.tensor([1.0, 2.0]), {"env": torch.tensor([5.0, 6.0]), "right": torch.tensor([8.0, 9.0])})
    credit = SectionCredit({"environment": "env"}, rest="right")
    found = credit.advantages(traces, scores, estimate, policy.tokenizer.decode)
    inside = section_places(traces, policy.tokenizer.decode)[0]["environment"]
    outside = torch.ones(found.shape[1], dtype=torch.bool)
    outside[inside] = False
    assert found.shape == traces.completions.ids.shape
    assert (found[0, inside] == 5).all() and (found[0, outside] == 8).all()
    failed = replace(scores, total=torch.tensor([torch.nan, 2.0]))
    repeated = credit.advantages(traces, failed, estimate, policy.tokenizer.decode)
    assert (repeated[0] == 0).all() and torch.equal(repeated[1], found[1])


def test_unknown_terms_and_sections_are_refused(policy):
    with pytest.raises(ValueError, match=r"names the sections evironment; formats paqa have planning"):
        SectionCredit({"evironment": "total"}).check_sections(["paqa"])
    with pytest.raises(ValueError, match=r"names the terms nothing; the reward has total, right"):
        SectionCredit({"environment": "nothing"}).check_terms({"right": 1})
    with pytest.raises(ValueError, match="sections is empty"):
        SectionCredit({})


class Sectioned:
    """Grades the first half of an answer by its letters, the whole by its length."""

    def score(self, answers):
        letters = torch.tensor([float(answer.text[:20].count("e")) for answer in answers])
        return Scores(torch.tensor([float(len(answer.text)) for answer in answers]), {"letters": letters})


def test_the_loss_takes_an_advantage_for_each_token(policy, clips, monkeypatch):
    """A token whose advantage is 0 has no gradient, whatever the others of its row have."""
    from cogrl.lm_head import PolicyLossConfig

    stage = Grpo(policy, formats=("direct",), group_size=2, updates_per_rollout=2, reward=Sectioned())
    rollouts = stage.policy and stage.engine.sample(policy, clips[:2], ["direct"] * 2, stage.sampling, 2)
    b, t = rollouts.completions.ids.shape
    by_row = torch.randn(b)
    by_token = by_row[:, None].repeat(1, t)
    config, routes = PolicyLossConfig("reinforce"), torch.zeros(b, dtype=torch.long)
    same = [
        policy.policy_loss(replace(rollouts, advantages=given), config, routes).loss for given in (by_row, by_token)
    ]
    assert torch.allclose(*same, rtol=1e-5)
    half = by_token.clone()
    half[:, t // 2 :] = 0
    out = policy.policy_loss(replace(rollouts, advantages=half), config, routes)
    mask = rollouts.completions.mask
    expected = -(half * mask * policy_logprobs(policy, rollouts)).sum(1) / mask.sum(1)
    assert out.loss.item() == pytest.approx(expected.mean().item(), rel=1e-3)


def policy_logprobs(policy, rollouts):
    from cogrl.models.reference import logprobs_of

    return logprobs_of(policy, rollouts, 1.0, len(rollouts.clips))


def test_grpo_trains_with_credit_by_section(policy, clips):
    asked = [
        Clip(replace(clip.example, question="Which?", choices=("a", "b"), answer="a"), clip.waveform) for clip in clips
    ]
    stage = Grpo(
        policy,
        formats=("paqa",),
        group_size=2,
        reward=Sectioned(),
        sampling=Sampling(max_new_tokens=8),
        section_credit=SectionCredit({"environment": "letters"}),
    )
    before = [p.detach().clone() for p in policy.parameters()]
    trainer = pl.Trainer(
        max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu"
    )
    trainer.fit(stage, DataLoader([ClipBatch(asked[:4])] * 2, batch_size=None))
    rollouts = stage.rollouts
    assert rollouts.advantages.shape == rollouts.completions.ids.shape and rollouts.advantages.any()
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.parameters(), strict=True))
    with pytest.raises(ValueError, match="names the sections evironment"):
        Grpo(policy, formats=("paqa",), section_credit=SectionCredit({"evironment": "total"}))
