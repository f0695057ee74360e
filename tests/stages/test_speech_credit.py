"""Reinforcement of how a reply is said: its units have the advantage of its completion, and a reward can listen."""

import io
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cogrl.rollout.sampling import Sampling
from cogrl.rollout.spoken import Speaking, with_speech
from cogrl.stages import Grpo
from cogrl.stages.objective import Objective
from cogrl.stages.optim import Optim
from cogrl.stages.speech_credit import SpeechCredit
from cogrl.types import ClipBatch
from cogrl.types.rollouts_state import rollouts_of, state_of

BRIEF = Speaking(max_frames=4)


def low(answer):
    """The share of first units below 3, of which a random branch draws a quarter."""
    if answer.speech is None or not len(answer.speech.units):
        return 0.0
    return (answer.speech.units[:, 0] < 3).float().mean().item()


def stage_of(policy, speech, objective=Objective(kind="grpo"), **settings):
    return Grpo(
        policy,
        objective,
        reward=low,
        formats=("direct",),
        group_size=8,
        speech=speech,
        optim=Optim(lr=3e-2, weight_decay=0.0),
        sampling=Sampling(max_new_tokens=3),
        **settings,
    )


def fit(stage, clips, steps):
    run = pl.Trainer(
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    run.fit(stage, DataLoader([ClipBatch(clips)] * (2 * steps), batch_size=None))


@pytest.fixture
def rollouts(speaking_policy, clips):
    """Two groups of three, spoken; some replies are cut by the budget."""
    said = stage_of(speaking_policy, None).engine.sample(
        speaking_policy,
        clips[:2],
        ["direct"] * 2,
        Sampling(max_new_tokens=4),
        3,
        generator=torch.Generator().manual_seed(1),
    )
    spoken = with_speech(speaking_policy, said, BRIEF, torch.Generator().manual_seed(2))
    return replace(spoken, advantages=torch.tensor([1.0, -0.5, 2.0, 0.0, 1.5, -1.0]))


def test_the_first_update_is_the_policy_gradient_of_the_units(speaking_policy, rollouts):
    """Every ratio is 1, also where the budget cut a reply: the padding behind it is no end that was chosen."""
    assert {said.finished for said in rollouts.speech if said} == {False, True} or not rollouts.speech[0].finished
    config = Objective(kind="grpo").loss(["direct"] * 6, ("direct",), 4)
    speaking_policy.speech.requires_grad_(True)
    rows = [row for row, said in enumerate(rollouts.speech) if said]
    loss = SpeechCredit(0.5, BRIEF).loss(speaking_policy, rollouts, config)
    assert loss.item() == pytest.approx(-0.5 * rollouts.advantages[rows].sum().item() / 6, abs=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in speaking_policy.speech.parameters())
    assert not any(p.grad is not None for name, p in speaking_policy.named_parameters() if "speech" not in name)


def test_micro_batches_with_other_numbers_of_replies_have_the_mean_of_the_whole(speaking_policy, rollouts):
    """The first group thinks and says nothing: the loss is that of the second, over all six completions."""
    texts, speech = ["<think>\nI"] * 3 + list(rollouts.texts[3:]), [None] * 3 + list(rollouts.speech[3:])
    some = replace(rollouts, texts=texts, formats=["ieat", "direct"], speech=speech)
    config = Objective(kind="grpo").loss(some.row_formats, ("ieat", "direct"), 4)
    rows = [row for row, said in enumerate(some.speech) if said]
    loss = SpeechCredit(1.0, BRIEF).loss(speaking_policy, some, config)
    assert rows and loss.item() == pytest.approx(-some.advantages[rows].sum().item() / 6, abs=1e-5)


def test_where_nothing_was_said_the_loss_is_zero_and_still_of_the_branch(speaking_policy, rollouts):
    silent = replace(rollouts, texts=["<think>\nI"] * 6, formats=["ieat"] * 2, speech=[None] * 6)
    speaking_policy.speech.requires_grad_(True)
    config = Objective(kind="grpo").loss(["ieat"] * 6, ("ieat",), 4)
    loss = SpeechCredit(1.0, BRIEF).loss(speaking_policy, silent, config)
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in speaking_policy.speech.parameters())


def test_the_voice_learns_what_a_reward_listens_for(speaking_policy, clips):
    stage = stage_of(speaking_policy, SpeechCredit(speaking=BRIEF))
    seen, score = [], stage.score
    stage.score = lambda *args: seen.append(score(*args)) or seen[-1]
    fit(stage, clips[:2], 24)
    first, last = (torch.cat([s.total for s in part]).mean().item() for part in (seen[:3], seen[-3:]))
    assert first < 0.5 and last > first + 0.3


def test_without_weight_the_voice_stays_and_is_listened_to(speaking_policy, clips):
    weights = {name: p.clone() for name, p in speaking_policy.speech.named_parameters()}
    stage = stage_of(speaking_policy, SpeechCredit(0.0, BRIEF))
    fit(stage, clips[:2], 2)
    assert all(torch.equal(p, weights[name]) for name, p in speaking_policy.speech.named_parameters())
    assert any(said is not None for said in stage.rollouts.speech) and stage.scores.total.sum() > 0


def test_spoken_rollouts_are_kept_in_a_checkpoint_as_plain_data(rollouts):
    file = io.BytesIO()
    torch.save(state_of(rollouts), file)
    file.seek(0)
    reloaded = rollouts_of(torch.load(file, weights_only=True), rollouts.clips, torch.device("cpu"))
    for mine, theirs in zip(reloaded.speech, rollouts.speech, strict=True):
        assert (mine is None) == (theirs is None)
        if mine and theirs.waveform is not None:
            assert torch.equal(mine.drawn, theirs.drawn) and (mine.waveform == theirs.waveform).all()
    assert [said and len(said.units) for said in reloaded.groups([1]).speech] == [
        said and len(said.units) for said in rollouts.speech[3:]
    ]


def test_settings_that_do_not_fit_are_refused(policy, speaking_policy, rollouts):
    with pytest.raises(ValueError, match="the policy has no Speak branch"):
        stage_of(policy, SpeechCredit())
    with pytest.raises(ValueError, match="speech and reduction token_mean: "):
        stage_of(speaking_policy, SpeechCredit(), objective=Objective(kind="dapo"))
    with pytest.raises(ValueError, match="speech and section_credit: "):
        SpeechCredit().check(speaking_policy, Objective(kind="grpo"), section_credit=True, one_step_off=False)
    with pytest.raises(ValueError, match="drawn greedily are all alike"):
        SpeechCredit(speaking=Speaking(greedy=True))
    tokens = replace(rollouts, advantages=torch.zeros(rollouts.completions.ids.shape))
    with pytest.raises(ValueError, match="one advantage a completion"):
        SpeechCredit(speaking=BRIEF).loss(
            speaking_policy, tokens, Objective(kind="grpo").loss(["direct"], ("direct",), 4)
        )
