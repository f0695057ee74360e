"""The offline rubric reads English: other lines are refused by `file:line` before anything is sampled or graded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cogrl.cli.main import main
from cogrl.evaluate.polarity import part
from cogrl.rewards.cogaudio import ExplicitReward, ImplicitReward
from cogrl.rewards.composite import WeightedSum
from cogrl.rewards.format import format_reward
from cogrl.rewards.language import mostly_latin, not_english
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.types import Example

LINE = Example("c1", Path("c1.flac"), "rl", "They moved the exam.", "t", "s", "fear", where="m.jsonl:1")
CHINESE = "他们把考试提前了。"
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("change", "graded"),
    [
        *(({"language": name}, True) for name in (None, "", "en", "EN", "en-GB", "en_US", "eng", "English")),
        *(({"language": name}, False) for name in ("zh", "zh-CN", "cmn", "de", "ent", "unknown")),
        *(({"text": text}, False) for text in (CHINESE, "これは試験です", "Это экзамен.", "امتحان", "OK，我知道了。")),
        *(({"text": text, "language": "en"}, False) for text in (CHINESE, "我 没 想到")),
        ({"text": "The sign says 出口, I think."}, True),
        ({"text": "Ça va, Zoë? 3 + 4!"}, True),
        ({"text": "１２ ?! ＯＫ"}, True),
    ],
)
def test_the_language_of_a_line_and_the_script_of_its_words_decide(change, graded):
    reason = not_english(replace(LINE, **change))
    assert (reason is None) == graded
    if reason:
        assert (
            "--config configs/reward/http_judge.yaml" in reason and "--reward configs/reward/http_judge.yaml" in reason
        )
        assert (CONFIGS / "reward" / "http_judge.yaml").is_file()


def test_every_reward_with_the_offline_judge_refuses_and_one_without_does_not():
    chinese = replace(LINE, language="zh", text=CHINESE)
    for reward in (ExplicitReward(), ImplicitReward(), ExplicitReward(OfflineJudge(min_words=3))):
        assert "language is 'zh'" in reward.validate(chinese) and reward.validate(LINE) is None
    assert WeightedSum({"format": format_reward}, {"format": 1.0}).validate(chinese) is None


def test_the_refusal_has_a_reason_a_good_chinese_reply_would_earn_nothing():
    good = "听起来你很害怕，考试提前让人措手不及。我们一起列个复习计划吧。"
    assert OfflineJudge().empathy(CHINESE, "fear", good) == 1


def test_the_sentiment_of_words_nobody_can_read_is_not_guessed():
    """German "Gift" is poison, and the English list has "gift"."""
    german = replace(LINE, text="Das Gift wirkt.", emotion="sad", language="de")
    assert part(german) == "neither" and part(replace(german, language="en")) == "conflict"
    assert part(replace(german, text_sentiment="negative")) == "consistent"


def test_half_latin_is_latin_enough():
    assert mostly_latin("ab好了") and not mostly_latin("a好了") and mostly_latin("")


@pytest.fixture
def chinese(smoke_corpus, workdir) -> tuple[str, str]:
    """A manifest whose third line is Chinese, and that line's id."""
    lines = [json.loads(line) for line in (smoke_corpus / "test.jsonl").read_text().splitlines()]
    for line in lines:
        line["audio"] = str(smoke_corpus / line["audio"])
    lines[2] |= {"language": "zh", "text": CHINESE}
    path = workdir / "mixed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path), lines[2]["id"]


def config(*names: str) -> list[str]:
    return [word for name in names for word in ("--config", str(CONFIGS / f"{name}.yaml"))]


COMMON = ("policy/tiny", "data/lime_mini_rl", "trainer/cpu")
FLAGS = ("--data.batch_size=2", "--trainer.max_steps=1", "--trainer.accelerator=cpu", "--run_dir=run")


@pytest.mark.parametrize("stage", ["dr_sapo", "grpo"])
def test_an_rl_stage_refuses_a_chinese_line_by_file_and_line_before_step_1(chinese, tiny_policy_dir, capsys, stage):
    path, name = chinese
    data = [f"--data.{split}={path}" for split in ("train",)] + ["--data.val=null", "--data.test=null"]
    args = [*config(f"stage/{stage}", *COMMON), f"--model.policy.path={tiny_policy_dir}", *data, *FLAGS]
    assert main(["fit", *args]) == 2
    message = capsys.readouterr().err
    assert f"{path}:3 ({name}): language is 'zh': the offline rubric reads English only" in message
    assert len(message.strip().splitlines()) == 1 and not Path("run/checkpoints").exists()


@pytest.mark.parametrize("stage", ["sft", "dr_sapo"])
def test_the_test_of_a_stage_refuses_it_too(chinese, tiny_policy_dir, capsys, stage):
    path, name = chinese
    data = ["--data.train=null", "--data.val=null", f"--data.test={path}"]
    args = [*config(f"stage/{stage}", *COMMON), f"--model.policy.path={tiny_policy_dir}", *data, *FLAGS]
    assert main(["test", *args]) == 2
    assert f"{path}:3 ({name}): language is 'zh'" in capsys.readouterr().err


def test_evaluation_refuses_it_before_anything_is_answered(chinese, tiny_policy_dir, capsys):
    path, name = chinese
    assert main(["evaluate", "--policy", str(tiny_policy_dir), "--data", path, "--out", "report"]) == 2
    assert f"{path}:3 ({name}): language is 'zh': the offline rubric reads English only" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["test", "predict"])
def test_a_stage_says_that_it_does_not_ask_the_question_of_a_line(chinese, tiny_policy_dir, capsys, command):
    path, _ = chinese
    lines = [json.loads(line) | {"language": "en", "text": "Well."} for line in Path(path).read_text().splitlines()]
    lines[1] |= {"question": "How does it sound?", "choices": ["calm", "tense"], "answer": "calm"}
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = ["--data.train=null", "--data.val=null", f"--data.test={path}"]
    args = [*config("stage/sft", *COMMON), f"--model.policy.path={tiny_policy_dir}", *data, *FLAGS]
    assert main([command, *args]) == 2
    assert f"{path}:2 ({lines[1]['id']}): has a question, which format eips does not ask" in capsys.readouterr().err
