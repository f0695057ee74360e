"""Evaluation on the real policy class: controls are at chance by construction, reports hold what was answered."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cogrl.audio import load_audio
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.emotion import Answers, Evaluation, answer, evaluate_policy, silence, transcript
from cogrl.evaluate.report import differences, metrics, write
from cogrl.rewards.composite import DualRouteReward, ExplicitReward, ImplicitReward
from cogrl.types import EMOTIONS, ROUTES, Clip


@pytest.fixture
def test_clips(smoke_corpus) -> list[Clip]:
    return [Clip(e, load_audio(e.audio, name=e.id)) for e in read_manifest(smoke_corpus / "test.jsonl")]


@pytest.fixture
def reward() -> DualRouteReward:
    return DualRouteReward(ExplicitReward(), ImplicitReward())


def fixed(clips, label, name="fixed"):
    """An evaluation in which every clip is perceived as `label(clip)`."""
    n = len(clips)
    perceived = [label(clip) for clip in clips]
    grades = {"empathy": np.zeros(n), "format": np.ones(n)}
    routes = {r: Answers(r, ["-"] * n, [1] * n, perceived, np.zeros(n), grades) for r in ROUTES}
    return Evaluation(name, clips, routes, {"transcript": routes["A"], "silence": routes["A"]})


@pytest.mark.parametrize("label", EMOTIONS)
def test_whatever_hears_no_voice_scores_exactly_one_in_seven(test_clips, label):
    m = metrics(fixed(test_clips * 2, lambda clip: label))
    assert m["emotion_accuracy"]["mean"] == pytest.approx(1 / 7)


def test_a_guess_from_the_words_scores_exactly_one_in_seven(test_clips):
    words = fixed(test_clips, lambda clip: EMOTIONS[len(clip.example.text) % 7])
    assert words.correct(words.routes["A"]).mean() == pytest.approx(1 / 7)


def test_hearing_right_scores_one_and_no_label_scores_nothing(test_clips):
    right = fixed(test_clips, lambda clip: clip.example.emotion)
    none = fixed(test_clips, lambda clip: None)
    assert right.correct(right.routes["A"]).mean() == 1 and none.correct(none.routes["A"]).mean() == 0
    assert differences(none, right)["emotion_accuracy"]["mean"] == 1


def test_controls_hear_the_same_for_every_emotion(policy, test_clips, reward):
    for control in (transcript, silence):
        answers = answer(policy, test_clips, "A", reward, control, max_new_tokens=6)
        by_text = {}
        for clip, text in zip(test_clips, answers.texts, strict=True):
            by_text.setdefault(clip.example.text, set()).add(text)
        assert all(len(texts) == 1 for texts in by_text.values())


def test_answers_do_not_depend_on_the_batch_size(policy, test_clips, reward):
    many = answer(policy, test_clips, "B", reward, max_new_tokens=6)
    few = answer(policy, test_clips, "B", reward, max_new_tokens=6, batch_size=2)
    assert many.texts == few.texts and many.tokens == few.tokens


def test_the_label_is_never_shown_to_the_policy(policy, test_clips):
    """Only waveform, instruction and (in the control) the transcript enter the prompt."""
    blind = [Clip(replace(c.example, emotion="neutral", intensity=None, targets={}), c.waveform) for c in test_clips]
    reward = DualRouteReward(ExplicitReward(), ImplicitReward())
    for route in ROUTES:
        seen = answer(policy, test_clips, route, reward, max_new_tokens=6).texts
        assert seen == answer(policy, blind, route, reward, max_new_tokens=6).texts


def test_the_report_holds_every_answer_and_figure(policy, test_clips, reward, tmp_path):
    evaluations = [evaluate_policy(name, policy, test_clips, reward, max_new_tokens=6) for name in ("before", "after")]
    text = write(evaluations, tmp_path)
    assert "| before |" in text and "| after |" in text and "after minus before" in text
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["differences"]["after - before"]["reward_A"]["mean"] == 0
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 2 * len(test_clips)
    assert (tmp_path / "confusion.png").stat().st_size > 1000
    for emotion in {clip.example.emotion for clip in test_clips}:
        assert f"| {emotion} |" in text


def test_a_good_answer_is_graded_as_in_training(test_clips, reward):
    clip = next(c for c in test_clips if c.example.emotion == "sad")
    good = clip.example.targets["A"]
    scores = reward.score([good], ["A"], [clip.example])
    assert scores.total.item() > 0.9
