"""Settings that two of policy, data, stage and trainer each have are compared before the first step."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from cogrl.cli.main import main
from cogrl.data.module import AudioData
from cogrl.formats.segments import SegmentRules
from cogrl.rewards.composite import WeightedSum
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.echo.right_segments import RightSegments
from cogrl.rewards.perception import FirstKnown, Measured, PerceptualConsistency, Reference
from cogrl.rollout.controllers import Relisten
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Align, Distill, DrSapo, Grpo, Perceive, Sft
from cogrl.stages.agreement import evidence_rates, precision, rules_of_terms
from cogrl.stages.align import Weight
from cogrl.types import Scores

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


class NeverAsked:
    def score(self, answers) -> Scores:
        raise AssertionError("a rollout was scored: this run was to be refused before")


def trainer(**settings) -> pl.Trainer:
    return pl.Trainer(**{"max_steps": 1, "num_sanity_val_steps": 0} | settings, **QUIET)


def lines_of(manifest: Path) -> list[dict]:
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        line["audio"] = str(manifest.parent / line["audio"])
    return lines


def written(path: Path, lines: list[dict]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture
def at_8_khz(smoke_corpus, tmp_path):
    """The validation clips at half their rate, as train, val and test."""
    lines = lines_of(smoke_corpus / "val.jsonl")
    for n, line in enumerate(lines):
        samples, _ = soundfile.read(line["audio"], dtype="float32")
        line["audio"] = str(tmp_path / f"{n}.wav")
        soundfile.write(line["audio"], np.ascontiguousarray(samples[::2]), 8_000)
    return written(tmp_path / "val.jsonl", lines)


@pytest.mark.parametrize("what", ["fit", "validate", "test", "predict"])
def test_the_rate_of_the_policy_rules_and_another_is_refused_before_anything_is_heard(policy, at_8_khz, what):
    split = {"fit": "train", "validate": "val"}.get(what, "test")
    data = AudioData(**{split: at_8_khz}, batch_size=2, sampling_rate=8_000)
    encoded, audio_tensors = [], policy.audio_tensors
    policy.audio_tensors = lambda waveforms: encoded.append(len(waveforms)) or audio_tensors(waveforms)
    with pytest.raises(ValueError, match=r"data\.sampling_rate=8000, but this policy hears 16000 Hz.* 2 times its"):
        getattr(trainer(), what)(Sft(policy), data)
    assert not encoded


def test_a_clip_of_another_rate_is_as_long_as_it_was_when_it_is_converted(policy, at_8_khz, smoke_corpus):
    found = []
    for settings in ({"val": at_8_khz, "convert": True}, {"val": str(smoke_corpus / "val.jsonl")}):
        data = AudioData(**settings, batch_size=7)
        trainer().validate(Sft(policy), data, verbose=False)
        [batch] = data.val_dataloader()
        found.append(policy.audio_token_counts(torch.tensor([len(clip.waveform) for clip in batch.clips])))
    assert (found[0] - found[1]).abs().max() <= 1 and found[0].min() > 5


def test_evidence_that_takes_clips_at_another_rate_than_the_policy_is_named(policy):
    terms = {"pitch": PerceptualConsistency("speaker", FirstKnown((Reference(), Measured(sampling_rate=8000))))}
    reward = WeightedSum(terms | {"gold": PerceptualConsistency("asr")}, {"pitch": 1.0, "gold": 1.0})
    (found,) = evidence_rates(reward, policy)
    assert "'pitch' takes clips to be of [8000] Hz, but this policy hears 16000 Hz" in found
    assert evidence_rates(WeightedSum({"gold": PerceptualConsistency("asr")}, {"gold": 1.0}), policy) == []


def test_a_reward_that_counts_cited_segments_by_other_rules_than_the_controller_is_refused(policy, smoke_corpus):
    def counts(of, most):
        return WeightedSum({"segments": RightSegments(CountedSegments(of, SegmentRules(most=most)))}, {"segments": 1.0})

    data, relisten = AudioData(train=str(smoke_corpus / "rl.jsonl")), Relisten(SegmentRules(most=4))
    with pytest.raises(ValueError, match=r"'segments' reads cited .*most=7.*, the controller by .*most=4.*; give both"):
        trainer().fit(Grpo(policy, reward=counts("cited", 7), controllers=[relisten]), data)
    assert rules_of_terms(counts("cited", 4), [relisten]) == [] == rules_of_terms(counts("cited", 7), [])
    assert rules_of_terms(counts("inserted", 7), [relisten]) == [] == rules_of_terms(NeverAsked(), [relisten])
    with pytest.raises(ValueError, match=r"'segments' counts inserted segments, and there is no controller"):  # E1
        trainer().fit(Grpo(policy, reward=counts("inserted", 7)), data)


def test_prompts_that_do_not_divide_into_the_updates_are_refused_before_a_rollout(policy, smoke_corpus):
    data = AudioData(train=str(smoke_corpus / "rl.jsonl"), batch_size=6)
    with pytest.raises(ValueError, match=r"data\.batch_size=6 prompts can not be split into 4 equal .* multiple of 4"):
        trainer(accumulate_grad_batches=2).fit(DrSapo(policy, reward=NeverAsked()), data)


def test_accumulation_that_changes_under_a_rollout_is_refused(policy, smoke_corpus):
    data = AudioData(train=str(smoke_corpus / "rl.jsonl"), batch_size=2)
    callbacks = [GradientAccumulationScheduler({0: 1, 1: 2})]
    with pytest.raises(ValueError, match=r"set trainer\.accumulate_grad_batches"):
        trainer(callbacks=callbacks).fit(DrSapo(policy, reward=NeverAsked()), data)
    trainer(callbacks=callbacks).fit(Sft(policy), AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=2))


@pytest.mark.parametrize(
    ("of_trainer", "of_policy", "right"),
    [
        ("32-true", "float32", True),
        ("32-true", "bfloat16", True),
        ("bf16-mixed", "bfloat16", True),
        ("bf16-true", "float32", True),
        ("bf16-true", "bfloat16", True),
        ("16-mixed", "float32", True),
        ("16-mixed", "float16", False),
        ("16-true", "bfloat16", False),
        ("bf16-true", "float16", False),
    ],
)
def test_the_precision_of_the_trainer_fits_the_weights_of_the_policy(of_trainer, of_policy, right):
    said = precision(of_trainer, of_policy)
    assert (said is None) == right
    assert right or (of_trainer in said and f"policy.dtype is {of_policy}" in said)


def test_a_target_longer_than_any_answer_is_told(policy, smoke_corpus):
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=2)
    with pytest.warns(
        UserWarning, match=r"a target of \d+ tokens \(.*sft\.jsonl:\d+\) is longer than sampling.max_new"
    ):
        trainer().fit(Sft(policy, sampling=Sampling(max_new_tokens=20)), data)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer().fit(Sft(policy, sampling=Sampling(max_new_tokens=1000)), data)
    assert not [str(warning.message) for warning in said if "is longer than sampling" in str(warning.message)]


@pytest.fixture
def some_without_b(smoke_corpus, tmp_path):
    """The validation lines; the third and the fifth have no target for format direct."""
    lines = lines_of(smoke_corpus / "val.jsonl")
    for n in (2, 4):
        del lines[n]["targets"]["direct"]
    return written(tmp_path / "some.jsonl", lines)


def test_a_loss_that_only_some_validation_lines_have_a_target_for_is_left_out_and_said(
    policy, smoke_corpus, some_without_b
):
    fit = trainer(max_steps=2, val_check_interval=1)
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), val=some_without_b, batch_size=2)
    with pytest.warns(UserWarning, match=r"val/loss_direct is left out: 2 of 7 .* the first is .*some\.jsonl:3 \("):
        fit.fit(Sft(policy, formats={"eips": 1.0}), data)
    assert (
        fit.global_step == 2
        and "val/loss_eips" in fit.callback_metrics
        and "val/loss_direct" not in fit.callback_metrics
    )


@pytest.mark.parametrize("kind", [Sft, Distill, lambda policy: Align(policy, kd=Weight(0.0))])
@pytest.mark.parametrize("what", ["fit", "validate"])
def test_validation_lines_without_a_target_of_a_format_that_trains_are_all_refused_at_the_start(
    policy, smoke_corpus, some_without_b, kind, what
):
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), val=some_without_b, batch_size=2)
    with pytest.raises(ValueError) as refused:
        getattr(trainer(), what)(kind(policy), data)
    lines = str(refused.value).splitlines()
    assert [re.search(r"some\.jsonl:(\d) \(.*\): no target for format direct; add", line)[1] for line in lines] == [
        "3",
        "5",
    ]


@pytest.fixture
def one_without_emotion(smoke_corpus, tmp_path):
    """The validation lines as dialogues' last turns, where an emotion may be missing: here that of the second."""
    lines = lines_of(smoke_corpus / "val.jsonl")
    for line in lines:
        line["turns"] = [{"text": "Well.", "audio": line["audio"], "reply": "Go on."}]
    del lines[1]["emotion"]
    return written(tmp_path / "dialogues.jsonl", lines)


def test_perception_is_not_validated_on_lines_without_an_emotion(policy, one_without_emotion):
    data = AudioData(val=one_without_emotion, batch_size=2, history="left_out")
    with pytest.raises(ValueError, match=r"dialogues\.jsonl:2 \(.*\): no emotion, which is what this stage teaches"):
        trainer().validate(Perceive(policy), data)


def test_lines_whose_answers_the_reward_can_not_grade_are_refused_before_the_test(policy, one_without_emotion):
    data = AudioData(test=one_without_emotion, batch_size=2, history="left_out")
    stage = Sft(policy, sampling=Sampling(max_new_tokens=2))
    with pytest.raises(ValueError, match=r"dialogues\.jsonl:2 \(.*\): no emotion, which a judge has to know"):
        trainer().test(stage, data)
    assert len([r for batch in trainer().predict(stage, data) for r in batch]) == 7  # which needs no grade


def test_answers_that_would_outgrow_the_positions_are_refused_before_any_is_sampled(
    smoke_corpus, tiny_policy_dir, workdir, capsys
):
    manifest = smoke_corpus / "test.jsonl"
    args = ["evaluate", "--policy", str(tiny_policy_dir), "--data", str(manifest), "--out", "report"]
    assert main([*args, "--max-new-tokens", "2048"]) == 2
    printed = capsys.readouterr()
    assert "test.jsonl:1 (" in printed.err and "up to 2048 of answer" in printed.err
    assert "--max-new-tokens" in printed.err and "answering" not in printed.out
    clip = lines_of(manifest)[0]["audio"]
    assert main(["generate", clip, "--policy", str(tiny_policy_dir), "--max-new-tokens", "2048"]) == 2
    assert "up to 2048 of answer" in capsys.readouterr().err
