"""Writing and speaking together: the loss by its formula, what learns, what is refused, and a run that goes on."""

import math
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from spoken_lines import spoken_clips
from torch.utils.data import DataLoader

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.speak import SpeakSettings
from cogrl.models.speak_decoder import SpeakSizes
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.spoken import Speaking, first_behind, reply_firsts, with_speech
from cogrl.stages import Sft, Speak
from cogrl.stages.optim import Optim
from cogrl.types import EMOTIONS, ClipBatch


def stage_of(policy, **settings):
    stage = Speak(policy, optim=Optim(lr=5e-3), sampling=Sampling(max_new_tokens=6), **settings)
    stage.configure_model()
    stage.log = lambda *args, **kwargs: None
    return stage


@pytest.fixture
def batch(speaking_policy, clips):
    return ClipBatch(spoken_clips(clips, speaking_policy.speech.space))


def fit(stage, batch, steps, checkpoint=None, **trainer):
    run = pl.Trainer(
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **{"enable_checkpointing": False} | trainer,
    )
    run.fit(stage, DataLoader([batch] * 8, batch_size=None), ckpt_path=checkpoint)
    return run


def unit_loss_written_out(policy, clip):
    """Of one clip alone: choice by choice, in plain numbers; the thinking and the prompt are read by no head."""
    decoder, example = policy.speech.decoder, clip.example
    reply = example.spoken_reply
    text = example.targets["ieat"]
    before = text[: text.index(reply.text)]
    prompts = policy.encode_prompts(
        ["Listen to the speaker. Think of what they feel and what made them feel it, then answer."],
        [clip.waveform],
        [example.id],
    )
    targets = policy.encode_targets([text])
    first = len(policy.tokenizer(before, add_special_tokens=False).input_ids)
    hidden = policy.token_states(prompts, targets)
    states = hidden.hidden[hidden.rows][first:]
    context = torch.cat([states, policy.embed(targets.ids[0, first:])], -1)[None]
    drawn = decoder.steps(torch.tensor([reply.units]))
    logits = decoder.logits(context, torch.ones(1, context.shape[1], dtype=torch.bool), drawn)[0].log_softmax(-1)
    flat, choices = [*map(list, reply.units), [decoder.end]], []
    for frame, row in enumerate(flat):
        step, place = divmod(frame, decoder.sizes.group)
        choices += [logits[step, place * decoder.codebooks + k, unit].item() for k, unit in enumerate(row)]
    assert len(choices) == len(reply.units) * 2 + 1
    return -sum(choices) / len(choices)


@torch.no_grad()
def test_the_loss_is_that_of_text_and_the_mean_of_the_choices_of_each_reply(speaking_policy, batch):
    stage = stage_of(speaking_policy, text=0.5, units=2.0)
    text = Sft(speaking_policy, formats={"ieat": 1.0}).loss(batch, ["ieat"] * 4)
    units = sum(unit_loss_written_out(speaking_policy, clip) for clip in batch.clips) / 4
    assert stage.loss(batch, ["ieat"] * 4).item() == pytest.approx(0.5 * text.item() + 2.0 * units, rel=1e-5)
    assert text > 1 and units > 1


@torch.no_grad()
def test_no_token_of_the_thinking_is_spoken(speaking_policy, batch):
    """What the branch reads begins where the reply does; units of a thought are refused before training."""
    policy, examples = speaking_policy, [clip.example for clip in batch.clips]
    texts = [example.targets["ieat"] for example in examples]
    targets = policy.encode_targets(texts)
    for row, first in enumerate(reply_firsts(policy, targets, texts, ["ieat"] * 4, examples)):
        ids = targets.ids[row][targets.mask[row]]
        assert policy.tokenizer.decode(ids[first:-1]) == examples[row].spoken_reply.text
        assert policy.tokenizer.decode(ids[:first]).endswith("</think>\n\n")
    stage = stage_of(policy)
    aloud = replace(examples[0].spoken_reply, text=texts[0])
    assert "and nothing of its thinking" in stage.speech_error(replace(examples[0], spoken_reply=aloud))


def test_bytes_of_one_character_are_not_torn_apart():
    """ "é" of two tokens behind "a": the first of them has no character of its own yet."""
    assert [first_behind((1, 1, 2), start) for start in (0, 1, 2)] == [0, 1, 3]
    assert first_behind((0, 0, 0), 0) == 0  # no whole character at all


def test_no_label_stands_in_what_the_student_reads(speaking_policy, batch):
    stage = stage_of(speaking_policy)
    encode, seen = speaking_policy.encode_prompts, []
    speaking_policy.encode_prompts = lambda *args: seen.append(encode(*args)) or seen[-1]
    stage.loss(batch, ["ieat"] * 4)
    (prompts,) = seen
    for ids, clip in zip(prompts.input_ids, batch.clips, strict=True):
        text = speaking_policy.tokenizer.decode(ids[ids != speaking_policy.audio_token_id]).lower()
        labels = (*EMOTIONS, clip.example.cause, clip.example.spoken_reply.text.lower())
        assert [word for word in labels if word in text] == [] and "think of what they feel" in text


def test_text_and_voice_learn_together(speaking_policy, batch):
    stage = stage_of(speaking_policy)
    with torch.no_grad():
        before = stage.loss(batch, ["ieat"] * 4).item()
    weights = {name: p.detach().clone() for name, p in speaking_policy.named_parameters()}
    fit(stage, batch, 24)
    with torch.no_grad():
        assert stage.loss(batch, ["ieat"] * 4).item() < before - 1
    moved = {name.split(".")[0] for name, p in speaking_policy.named_parameters() if not torch.equal(p, weights[name])}
    assert moved == {"model", "speech"}


def test_sequential_training_moves_the_branch_alone(speaking_policy, batch):
    weights = {name: p.detach().clone() for name, p in speaking_policy.named_parameters()}
    fit(stage_of(speaking_policy, text=0.0), batch, 3)
    moved = {n.split(".")[0] for n, p in speaking_policy.named_parameters() if not torch.equal(p, weights[n])}
    assert moved == {"speech"}


def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(tiny_policy_dir, speech_codec_dir, clips, tmp_path):
    def fresh():
        torch.manual_seed(0)
        sizes = SpeakSizes(group=2, width=16, layers=1, heads=2)
        policy = Qwen2Audio(str(tiny_policy_dir), speech=SpeakSettings(str(speech_codec_dir), sizes=sizes)).load()
        stage = Speak(policy, optim=Optim(lr=5e-3))
        stage.configure_model()
        return stage, ClipBatch(spoken_clips(clips, policy.speech.space))

    whole, batch = fresh()
    fit(whole, batch, 4)
    first, _ = fresh()
    first.optim = whole.optim
    run = fit(first, batch, 2, enable_checkpointing=True, default_root_dir=tmp_path)
    run.save_checkpoint(tmp_path / "half.ckpt")
    second, _ = fresh()
    for parameter in second.policy.speech.parameters():
        parameter.data.zero_()  # whatever it begins with
    fit(second, batch, 4, checkpoint=tmp_path / "half.ckpt")
    expected = dict(whole.policy.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in second.policy.named_parameters())


def test_what_is_written_is_spoken_and_a_reward_can_listen(speaking_policy, batch):
    """A thought that never closes is not spoken; a reply is cut at the budget, and then it is not finished."""
    stage = stage_of(speaking_policy, speaking=Speaking(max_frames=6))
    rollouts = stage.engine.sample(speaking_policy, batch.clips, ["ieat"] * 4, Sampling(max_new_tokens=8))
    texts = ["Yes.", "<think>\nI hear", "</think> no", "All right."]
    targets = speaking_policy.encode_targets(texts)
    rollouts = replace(rollouts, completions=targets, sampling_logprobs=torch.zeros(targets.ids.shape), texts=texts)
    generator = torch.Generator().manual_seed(0)
    said = with_speech(speaking_policy, rollouts, stage.speaking, generator).speech
    assert [one is None for one in said] == [False, True, True, False]
    for one in (said[0], said[3]):
        assert len(one.units) <= 6 and one.finished == (len(one.units) < 6) and one.sampling_rate == 16_000
        assert len(one.units) == 0 or len(one.waveform) == 640 * len(one.units)
        assert math.isfinite(one.logprobs.sum()) and one.drawn.shape == one.logprobs.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: None, "no units of a spoken reply; make them with: cogrl build speech-units"),
        (lambda r: replace(r, units=()), "no units of a spoken reply"),
        (lambda r: replace(r, units=((1, 2), (3, 12))), "frame 1 holds unit 12; those of the codec are 0 to 11"),
        (lambda r: replace(r, units=((1, -1),)), "frame 0 holds unit -1"),
        (lambda r: replace(r, units=((1, 2, 3),)), "frame 0 has 3 units, the codec 2 codebooks"),
        (lambda r: replace(r, codec="mimi-8x2048-00"), "the units are of codec 'mimi-8x2048-00'"),
        (lambda r: replace(r, units=((1, 2),) * 401), "lasts 401 frames (16.0 s), at most 400 are spoken"),
        (lambda r: replace(r, text="Something else."), "the spoken reply says 'Something else.'"),
    ],
)
def test_replies_that_can_not_be_learned_are_refused_before_training(speaking_policy, batch, change, message):
    stage, example = stage_of(speaking_policy), batch.clips[0].example
    assert stage.speech_error(example) is None
    assert message in stage.speech_error(replace(example, spoken_reply=change(example.spoken_reply)))


def test_an_empty_reply_is_refused(speaking_policy, batch):
    example = batch.clips[0].example
    stage = stage_of(speaking_policy)
    empty = replace(example, targets=example.targets | {"ieat": "<think>\nI hear fear.\n</think>\n\n"})
    assert "has an empty reply, nothing to speak" in stage.speech_error(empty)


def test_settings_that_do_not_fit_are_refused(policy, speaking_policy):
    with pytest.raises(ValueError, match=r"the policy has none: add policy\.speech"):
        Speak(policy)
    with pytest.raises(ValueError, match="not negative, and not both 0"):
        Speak(speaking_policy, text=0.0, units=0.0)
    with pytest.raises(ValueError, match=r"Speak hears the clip \(reads='description'\)"):
        Speak(speaking_policy, reads="description")
    with pytest.raises(ValueError, match="max_frames=0 must be above 0"):
        Speaking(max_frames=0)
