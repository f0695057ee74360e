"""Evaluation on the real policy class: controls are at chance by construction, reports hold what was answered."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from format_instructions import INSTRUCTIONS
from handmade_evaluations import fixed

from cogrl.audio import load_audio
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.controls import CONTROLS, shuffled, silence, transcript, voice
from cogrl.evaluate.emotion import EVALUATED_FORMATS, answer, evaluate_policy, graded, sampled_replies
from cogrl.evaluate.metrics import differences, metrics
from cogrl.evaluate.report import FILES, records, write
from cogrl.formats.answer import read_answer
from cogrl.rewards.cogaudio import cogaudio_reward
from cogrl.rewards.composite import ByFormat
from cogrl.types import EMOTIONS, Clip, Scores


@pytest.fixture
def test_clips(smoke_corpus) -> list[Clip]:
    return [Clip(e, load_audio(e.audio, name=e.id)) for e in read_manifest(smoke_corpus / "test.jsonl")]


@pytest.fixture
def reward() -> ByFormat:
    return cogaudio_reward()


@pytest.mark.parametrize("label", EMOTIONS)
def test_whatever_hears_no_voice_scores_exactly_one_in_seven(test_clips, label):
    m = metrics(fixed(test_clips * 2, lambda clip: label))
    assert m["emotion_accuracy"]["mean"] == pytest.approx(1 / 7)


def test_a_guess_from_the_words_scores_exactly_one_in_seven(test_clips):
    words = fixed(test_clips, lambda clip: EMOTIONS[len(clip.example.text) % 7])
    assert words.correct(words.formats["eips"]).mean() == pytest.approx(1 / 7)


def test_hearing_right_scores_one_and_no_label_scores_nothing(test_clips):
    right = fixed(test_clips, lambda clip: clip.example.emotion)
    none = fixed(test_clips, lambda clip: None)
    assert right.correct(right.formats["eips"]).mean() == 1 and none.correct(none.formats["eips"]).mean() == 0
    assert differences(none, right)["emotion_accuracy"]["mean"] == 1


def test_controls_hear_the_same_for_every_emotion(policy, test_clips, reward):
    for control in (transcript, silence):
        answers = answer(policy, test_clips, "eips", reward, control, max_new_tokens=6)
        by_text = {}
        for clip, text in zip(test_clips, answers.texts, strict=True):
            by_text.setdefault(clip.example.text, set()).add(text)
        assert all(len(texts) == 1 for texts in by_text.values())


def test_answers_do_not_depend_on_the_batch_size(policy, test_clips, reward, leads):
    many = answer(policy, test_clips, "direct", reward, max_new_tokens=6)
    few = answer(policy, test_clips, "direct", reward, max_new_tokens=6, batch_size=2)
    assert many.texts == few.texts and many.tokens == few.tokens and min(leads) > 1e-5


def test_the_label_is_never_shown_to_the_policy(policy, test_clips):
    """Only waveform, instruction and (in the control) the transcript enter the prompt."""
    blind = [Clip(replace(c.example, emotion="neutral", intensity=None, targets={}), c.waveform) for c in test_clips]
    reward = cogaudio_reward()
    for format in EVALUATED_FORMATS:
        seen = answer(policy, test_clips, format, reward, max_new_tokens=6).texts
        assert seen == answer(policy, blind, format, reward, max_new_tokens=6).texts


@pytest.mark.parametrize("control", [voice, *CONTROLS.values()])
def test_the_policy_is_given_what_the_control_says_and_nothing_more(policy, test_clips, reward, control, monkeypatch):
    """No transcript beside audio, no own clip in the shuffled control; equal hearings are asked once."""
    given, encode = [], policy.encode_prompts

    def spy(instructions, inputs, names):
        assert set(instructions) == {INSTRUCTIONS["eips"]}
        given.extend(inputs)
        return encode(instructions, inputs, names)

    monkeypatch.setattr(policy, "encode_prompts", spy)
    answer(policy, test_clips, "eips", reward, control, max_new_tokens=2)
    said = lambda item: item if isinstance(item, str) else item.tobytes()
    expected = control(test_clips, policy.sampling_rate)
    assert sorted(map(said, given)) == sorted(set(map(said, expected)))
    own = [said(clip.waveform) for clip in test_clips]
    assert control is not shuffled or all(said(a) != b for a, b in zip(expected, own, strict=True))


def test_evaluation_runs_every_control_in_both_formats(policy, test_clips, reward):
    found = evaluate_policy("x", policy, test_clips, reward, max_new_tokens=6, draws=0)
    assert list(found.controls) == list(CONTROLS) == ["transcript", "silence", "shuffled"]
    for name, condition in CONTROLS.items():
        for format in EVALUATED_FORMATS:
            alone = answer(policy, test_clips, format, reward, condition, max_new_tokens=6)
            assert found.controls[name][format].texts == alone.texts
            assert found.controls[name][format].format == format
    assert found.samples is None and "response_difference" not in metrics(found)


def test_sampled_replies_come_in_order_and_repeat_with_the_seed(policy, test_clips):
    first = sampled_replies(policy, test_clips, "direct", draws=3, max_new_tokens=6, seed=1)
    assert len(first) == len(test_clips) and {len(replies) for replies in first} == {3}
    assert first == sampled_replies(policy, test_clips, "direct", draws=3, max_new_tokens=6, seed=1)
    assert first != sampled_replies(policy, test_clips, "direct", draws=3, max_new_tokens=6, seed=2)
    assert any(len(set(replies)) > 1 for replies in first)


def test_the_reply_of_a_target_answers_its_own_emotion_in_both_formats(test_clips, reward):
    examples = [clip.example for clip in test_clips]
    for format in EVALUATED_FORMATS:
        answers = graded(format, [e.targets[format] for e in examples], [1] * len(examples), examples, reward)
        assert answers.replied == [e.emotion for e in examples]
        assert answers.perceived == [e.emotion if format == "eips" else None for e in examples]
        assert answers.replies == [e.targets["direct"] for e in examples]


def test_epitome_raters_see_the_spoken_lines_and_what_the_user_hears(policy, test_clips, reward):
    seen = []

    def rate(said, replied):
        seen.append((list(said), list(replied)))
        return np.arange(len(said)) % 3

    found = evaluate_policy("x", policy, test_clips, reward, max_new_tokens=6, draws=0, raters={"ER": rate})
    spoken = [clip.example for clip in test_clips]
    assert seen == [(spoken, found.formats[format].replies) for format in EVALUATED_FORMATS]
    assert metrics(found)["ER_direct"]["mean"] == pytest.approx(np.mean(np.arange(len(spoken)) % 3))
    written = list(records(found))
    assert [line["levels"] for line in written] == [
        {"ER": dict.fromkeys(EVALUATED_FORMATS, i % 3)} for i in range(len(spoken))
    ]


def test_a_policy_that_reads_is_given_the_words_and_no_control(policy, test_clips, reward, tmp_path):
    reading = evaluate_policy("text", policy, test_clips, reward, max_new_tokens=6, reads=True)
    listening = evaluate_policy("speech", policy, test_clips, reward, max_new_tokens=6, controls={}, draws=0)
    for format in EVALUATED_FORMATS:
        alone = answer(policy, test_clips, format, reward, transcript, max_new_tokens=6)
        assert reading.formats[format].texts == alone.texts != listening.formats[format].texts
    assert reading.controls == listening.controls == {} and reading.samples is None
    text = write([reading, listening], tmp_path)
    assert "| text | the words alone |" in text and "| speech | the voice |" in text
    assert "text only |" not in text and "shuffled audio |" not in text


def test_the_report_holds_every_answer_and_figure(policy, test_clips, reward, tmp_path):
    evaluations = [evaluate_policy(name, policy, test_clips, reward, max_new_tokens=6) for name in ("before", "after")]
    text = write(evaluations, tmp_path)
    assert "| before |" in text and "| after |" in text and "after minus before" in text
    assert "0 clips conflict" in text and "there is no conflict accuracy" in text
    figures = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert figures["differences"]["after - before"]["reward_eips"]["mean"] == 0
    assert figures["n"]["conflict"] == 0 and figures["n"]["neither"] == len(test_clips)
    assert figures["policies"]["after"]["accuracy_conflict"] == {"mean": None, "low": None, "high": None, "n": 0}
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 2 * len(test_clips)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert (tmp_path / "confusion.png").stat().st_size > 1000
    for emotion in {clip.example.emotion for clip in test_clips}:
        assert f"| {emotion} |" in text


def test_answers_to_polar_clips_stand_in_a_file_of_their_own(test_clips, tmp_path):
    """Whoever averages over `answers.jsonl` averages over the manifest, with and without polar clips."""
    right = lambda clip: clip.example.emotion
    plain = fixed(test_clips, right)
    polar = fixed([replace(c, example=replace(c.example, text_sentiment="positive")) for c in test_clips], right)
    write([plain], tmp_path)
    before = (tmp_path / "answers.jsonl").read_text()
    text = write([replace(plain, polar=polar)], tmp_path)
    assert "n = 0" not in text and (tmp_path / "answers.jsonl").read_text() == before
    records = [json.loads(line) for line in (tmp_path / "answers_conflict.jsonl").read_text().splitlines()]
    assert [r["id"] for r in records] == [c.example.id for c in test_clips]
    assert {r["part"] for r in records} == {"conflict", "consistent", "neither"}
    write([plain], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_a_good_answer_is_graded_as_in_training(test_clips, reward):
    clip = next(c for c in test_clips if c.example.emotion == "sad")
    good = clip.example.targets["eips"]
    scores = reward.score([read_answer(good, "eips", clip.example)])
    assert scores.total.item() > 0.9


def test_a_reward_is_told_in_an_evaluation_too_that_an_answer_was_cut(policy, test_clips):
    class Cut:
        def score(self, answers):
            cut = torch.tensor([float(answer.finish == "length") for answer in answers])
            return Scores(cut, {"empathy": cut})

    found = answer(policy, test_clips, "direct", Cut(), max_new_tokens=2)
    assert found.reward.any() and all(n == 2 for cut, n in zip(found.reward, found.tokens, strict=True) if cut)
