"""`cogrl evaluate --reward`: the reward of a stage's YAML grades the answers, a language model behind a server too."""

import json
from collections.abc import Sequence

import pytest
import torch
from chat_server import ChatServer

from cogrl.cli.main import main
from cogrl.rewards import Answer
from cogrl.types import EMOTIONS, Scores

JUDGE = """
model:
  init_args:
    reward:
      class_path: cogrl.rewards.http_judge.HttpJudgeReward
      init_args:
        client:
          class_path: cogrl.chat.client.ChatClient
          init_args: {endpoint: {base_url: URL, model: judge}, retry: {attempts: 1, pause_s: 0.01}}
"""
OWN = "model: {init_args: {reward: {class_path: test_evaluate_reward.CLASS}}}"


class Halves:
    """Half a point for everything."""

    def score(self, answers: Sequence[Answer]) -> Scores:
        half = torch.full((len(answers),), 0.5)
        return Scores(half, {"empathy": half})


class NoEmpathy(Halves):
    """A reward without an `empathy` term."""

    def score(self, answers: Sequence[Answer]) -> Scores:
        return Scores(super().score(answers).total, {})


@pytest.fixture
def evaluate(smoke_corpus, tiny_policy_dir, workdir):
    """The status of an evaluation by the reward of this YAML text."""

    def run(reward: str) -> int:
        (workdir / "reward.yaml").write_text(reward)
        args = ["--policy", f"one={tiny_policy_dir}", "--data", str(smoke_corpus / "test.jsonl"), "--out", "report"]
        return main(["evaluate", *args, "--max-new-tokens", "4", "--draws", "0", "--reward", "reward.yaml"])

    return run


def test_a_server_judges_what_the_offline_rubric_would_not_understand(evaluate, workdir):
    """Replies of a random policy: the rubric grades them all 1, the server by their letters."""
    with ChatServer() as server:
        assert evaluate(JUDGE.replace("URL", server.base_url)) == 0
        stats = server.stats()
    answers = [json.loads(line) for line in (workdir / "report/answers.jsonl").read_text().splitlines()]
    grades = {answer["empathy"]["direct"] for answer in answers}
    assert grades <= {0.0, 0.3333, 0.6667, 1.0} and grades != {0.0}
    distinct = {answer["answers"]["direct"] for answer in answers}  # the corpus has one sentence
    assert stats["answered"] == stats["requests"] >= len(EMOTIONS) * len(distinct)


def test_a_reward_of_ones_own_grades_a_report(evaluate, workdir):
    assert evaluate(OWN.replace("CLASS", "Halves")) == 0
    found = json.loads((workdir / "report/report.json").read_text())["policies"]["one"]
    assert [found[f"{name}_{format}"]["mean"] for name in ("reward", "empathy") for format in ("eips", "direct")] == [
        0.5
    ] * 4
    assert found["format_eips"]["n"] == 0 and found["reply_accuracy_direct"]["mean"] == 0  # a tie of all seven


def test_a_reward_that_grades_no_empathy_and_a_file_without_a_reward_are_refused(evaluate, capsys):
    assert evaluate(OWN.replace("CLASS", "NoEmpathy")) == 2
    assert (
        "NoEmpathy has the terms none in format eips; an evaluation needs an `empathy` term" in capsys.readouterr().err
    )
    assert evaluate("model: {init_args: {rewrd: 1}}") == 2
    assert "reward.yaml: " in capsys.readouterr().err
