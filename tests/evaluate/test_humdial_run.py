"""HumDial's test answered by a policy turn by turn, judged by a server, and scored: from recordings to the score."""

import json
import re

import numpy as np
import pytest
from challenge_layout import task_of, write_challenge
from judge_server import judge_server

from cogrl.cli.main import main
from cogrl.data.corpora.humdial import challenge_dialogues
from cogrl.data.text_file import unsuspicious
from cogrl.evaluate.humdial import TASKS, language_of
from cogrl.evaluate.humdial_answers import answered, write_answers

POINTS = {1: (5, 3, 1), 2: (3, 3, 3), 3: (4, 2, 3)}
EMOTIONS = {1: ("Happy", "sad", "neutral"), 2: ("angry", "neutral"), 3: ("neutral", "Sad", "happy", "fear")}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """One dialogue a list, and one of those that were withdrawn."""
    return write_challenge(tmp_path_factory.mktemp("humdial"), {task: [labels] for task, labels in EMOTIONS.items()})


@pytest.fixture
def judge():
    """A judge who gives each task its points."""
    with judge_server(lambda body, n: json.dumps({"scores": scores_of(prompt_of(body))})) as running:
        yield running


def prompt_of(body):
    (message,) = body["messages"]
    return message["content"]


def scores_of(prompt):
    task = task_of(prompt)
    return dict(zip(task.dimensions, POINTS[task.number], strict=True))


def test_every_turn_is_answered_with_the_own_replies_to_those_before_it(policy, raw, monkeypatch):
    seen, encode = [], policy.encode_prompts
    monkeypatch.setattr(
        policy, "encode_prompts", lambda asked, given, ids: seen.append(given) or encode(asked, given, ids)
    )
    (dialogue,) = challenge_dialogues(raw, "en", 1)
    (replies,) = answered(policy, TASKS[1], [dialogue], max_new_tokens=6)
    first, *later = (one for (one,) in seen)
    assert isinstance(first, np.ndarray) and [len(one.turns) for one in later] == [2, 3]
    texts = [reply.text for reply in replies]
    assert [list(one.replies) for one in later] == [texts[:1], texts[:2]]
    assert [round(len(turn) / 16_000, 1) for turn in later[-1].turns] == [0.3, 0.4, 0.5]


@pytest.mark.parametrize(("target", "turns"), [("second", 3), ("last", 4)])
def test_task_3_ends_at_the_turn_that_is_judged(policy, raw, tmp_path, target, turns):
    dialogues = challenge_dialogues(raw, "en", 3)
    replies = answered(policy, TASKS[3], dialogues, target=target, max_new_tokens=4)
    assert [len(said) for said in replies] == [turns]
    write_answers(tmp_path / "a.jsonl", dialogues, replies)
    written = json.loads((tmp_path / "a.jsonl").read_text())["turns"]
    assert [turn["emotion"] for turn in written] == list(EMOTIONS[3])  # as published
    texts = [turn["response_text"] for turn in written if "response_text" in turn]
    assert texts == [unsuspicious(reply.text) for reply in replies[0]]  # random weights draw control characters


def test_from_recordings_to_scores(tiny_policy_dir, raw, judge, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "humdial",
        "run",
        str(raw),
        "--policy",
        str(tiny_policy_dir),
        "--out",
        str(out),
        "--base-url",
        judge.url,
    ]
    assert main([*arguments, "--max-new-tokens", "8"]) == 0
    said = {
        (code, n): json.loads((out / f"{code}-T{n}.jsonl").read_text())["turns"] for code in ("zh", "en") for n in TASKS
    }
    final = json.loads((out / "final.json").read_text())
    for (code, n), turns in said.items():
        reply = [turn["response_text"] for turn in turns if "response_text" in turn][-1]
        expected = POINTS[n] if language_of(reply) == code else (1, 1, 1)
        if n < 3:
            assert final[code][f"T{n}"] == pytest.approx(sum(expected) / 3)
        else:
            assert final[code]["D1"] == expected[0]
    asked = sum(
        language_of([t["response_text"] for t in turns if "response_text" in t][-1]) == c
        for (c, _), turns in said.items()
    )
    prompts = [prompt_of(body) for body in judge.bodies]
    assert len(prompts) == asked and all(re.search(r"User \((Happy|angry|neutral)\)", p) for p in prompts)
    assert "D2 and D3 are of replies that are heard" in capsys.readouterr().out


def test_a_list_that_is_missing_is_named_before_anything_is_answered(tiny_policy_dir, raw, tmp_path, capsys):
    arguments = ["humdial", "run", str(tmp_path), "--policy", str(tiny_policy_dir), "--out", str(tmp_path / "out")]
    (tmp_path / "HD-Track1-Test" / "zh").mkdir(parents=True)
    (tmp_path / "HD-Track1-Test" / "zh" / "HD-Track1-T1.jsonl").write_text("")
    assert main([*arguments, "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "HD-Track1-T2.jsonl is missing" in capsys.readouterr().err and not (tmp_path / "out").exists()
