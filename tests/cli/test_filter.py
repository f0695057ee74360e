"""`cogrl filter`: questions that are answered right sometimes, and not without hearing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cogrl.audio import write_flac
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.choice import select as module
from cogrl.evaluate.choice.select import Window, select
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip

CHOICES = ["calm", "tense", "merry"]


@pytest.fixture
def data(tmp_path):
    """Six questions of two tasks, the right choice B, and their clips."""
    lines = []
    for n in range(6):
        write_flac(tmp_path / f"{n}.flac", np.sin(np.arange(8_000) / (9 + n)).astype(np.float32) / 4, 16_000)
        line = {"id": f"q{n}", "audio": f"{n}.flac", "question": "How?", "choices": CHOICES, "answer": "tense"}
        lines.append(line | {"task": ("mood", "tone")[n % 2]})
    path = tmp_path / "rl.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class Scripted:
    """An engine whose n-th of k answers to question i is right where n < i, and on silence where i is even."""

    def sample(self, policy, clips, formats, sampling, group_size, inputs, generator):
        assert formats == ["choice"] * len(clips)
        texts = []
        for clip in clips:
            i = int(clip.example.id[1:])
            if inputs is not None:
                assert sampling.greedy and group_size == 1 and all(not np.any(wave) for wave in inputs)
            right = [i % 2 == 0] if inputs is not None else [n < i for n in range(group_size)]
            texts += ["B" if hit else "I can not tell." for hit in right]
        return SimpleNamespace(texts=texts)


def chosen(policy, data, window, wrong_on_silence, monkeypatch, right_with_audio=False):
    monkeypatch.setattr(module, "HFEngine", Scripted)
    clips = [Clip(example, np.ones(8_000, np.float32)) for example in read_manifest(data)]
    sampling = Sampling(max_new_tokens=4)
    return select(policy, clips, window, wrong_on_silence, sampling, right_with_audio=right_with_audio)


def test_the_window_keeps_what_is_right_sometimes(policy, data, monkeypatch):
    found = chosen(policy, data, Window(4, 1, 3), False, monkeypatch)
    assert list(found.right) == [0, 1, 2, 3, 4, 4]
    assert [example.id for example in found.kept] == ["q1", "q2", "q3"]
    report = found.report()
    assert report["left_out"] == {"too few answers are right": 1, "too many answers are right": 2}
    assert report["right_answers"] == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 2}
    assert report["tasks"] == {"mood": {"asked": 3, "kept": 1}, "tone": {"asked": 3, "kept": 2}}


def test_what_is_right_on_silence_is_left_out(policy, data, monkeypatch):
    found = chosen(policy, data, None, True, monkeypatch)
    assert [example.id for example in found.kept] == ["q1", "q3", "q5"] and set(found.right) == {None}
    both = chosen(policy, data, Window(4, 1, 3), True, monkeypatch)
    assert [example.id for example in both.kept] == ["q1", "q3"]
    assert both.report()["left_out"]["right on silence"] == 3


def test_the_audio_contributes_where_it_makes_the_answer_right(policy, data, monkeypatch):
    found = chosen(policy, data, None, True, monkeypatch, right_with_audio=True)
    assert list(found.right_with_audio) == [False] + [True] * 5
    assert [example.id for example in found.kept] == ["q1", "q3", "q5"]
    assert found.report()["left_out"] == {"right on silence": 3, "wrong with the audio": 1}
    assert found.report()["questions"][0]["right_with_audio"] is False


def test_open_answers_are_right_by_the_rule_of_the_reward(policy, data, monkeypatch):
    lines = [json.loads(line) | {"answer": "b!"} for line in data.read_text().splitlines()]
    lines = [{key: value for key, value in line.items() if key != "choices"} for line in lines]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(chosen(policy, data, Window(4, 1, 3), False, monkeypatch).right) == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("window", [(0, 0, 0), (4, 3, 2), (4, 1, 5), (4, -1, 2)])
def test_a_window_that_holds_nothing_is_refused(window):
    with pytest.raises(ValueError, match="needs 0 <= min <= max <= k"):
        Window(*window)


def test_the_command_writes_a_manifest_and_a_report_the_same_each_time(tiny_policy_dir, data, tmp_path, capsys):
    flags = ["filter", "--policy", str(tiny_policy_dir), "--data", str(data), "--max-new-tokens", "4"]
    flags += ["--pass-at-k", "2", "--min", "0", "--max", "2", "--seed", "3"]
    outs = [tmp_path / "kept" / f"{n}.jsonl" for n in range(2)]
    for out in outs:
        assert main([*flags, "--wrong-on-silence", "--format", "think_choice", "--out", str(out)]) == 0
        assert "6 of 6 questions kept" in capsys.readouterr().out
    assert [example.id for example in read_manifest(outs[0])] == [f"q{n}" for n in range(6)]
    assert read_manifest(outs[0])[2].audio.resolve() == (data.parent / "2.flac").resolve()
    reports = [json.loads(out.with_name(f"{out.name}.report.json").read_text()) for out in outs]
    assert reports[0]["settings"].pop("out") != reports[1]["settings"].pop("out") and reports[0] == reports[1]
    assert reports[0]["settings"]["seed"] == 3 and reports[0]["kept"] == 6

    assert (
        main([*flags[:-6], "--pass-at-k", "2", "--min", "2", "--max", "2", "--out", str(tmp_path / "none.jsonl")]) == 2
    )
    assert "none of 6 questions is left" in capsys.readouterr().err and not (tmp_path / "none.jsonl").exists()


def test_a_filter_needs_something_to_filter_by_and_lines_with_answers(tiny_policy_dir, data, tmp_path, capsys):
    flags = ["filter", "--policy", str(tiny_policy_dir), "--data", str(data), "--out", str(tmp_path / "kept.jsonl")]
    assert main(flags) == 2 and "give --pass-at-k 8, --wrong-on-silence, or both" in capsys.readouterr().err
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    del lines[1]["answer"]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main([*flags, "--audio-contribution"]) == 2
    assert f"{data}:2 (q1): no answer, which accuracy compares with" in capsys.readouterr().err
    assert not (tmp_path / "kept.jsonl").exists()
