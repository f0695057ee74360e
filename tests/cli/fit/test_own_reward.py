"""docs/rewards.md, followed literally: its files are written as they stand there, and its commands are run."""

import csv
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from cogrl.cli.main import main
from cogrl.formats.answer import read_answer
from cogrl.types import Example

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.S)


@pytest.fixture
def page(workdir, monkeypatch) -> str:
    """The page; its files are in the working directory."""
    text = (ROOT / "docs/rewards.md").read_text()
    for name, content in BLOCK.findall(text):
        (workdir / name).write_text(content)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    return text


@pytest.fixture
def fit(page, command):
    """Runs the page's command on the small corpus, shortened, with other files instead of `my_reward.yaml`."""
    (line,) = re.findall(r"```bash\n(cogrl fit .*?)```", page, re.S)
    flags = [word for word in command("fit", stage="grpo")[1:] if "=" in word]

    def run(*files: str, steps: int = 2) -> int:
        words = [
            str(ROOT / word) if word.startswith("configs/") else word
            for word in shlex.split(line.replace("\\\n", ""))[1:-2]
        ]
        own = [word for file in files for word in ("--config", file)]
        return main([*words, *own, *flags, f"--trainer.max_steps={steps}"])

    return run


def rows(folder: Path, term: str) -> list[tuple[dict, float]]:
    lines = [line for file in (folder / "run/rollouts").glob("*.jsonl") for line in file.read_text().splitlines()]
    return [(row, row[f"reward/{term}"]) for row in map(json.loads, lines)]


def test_the_function_of_the_page_trains_and_its_values_stand_in_the_rollout_table(fit, workdir):
    assert fit("my_reward.yaml") == 0
    found = rows(workdir, "brevity")
    assert len(found) >= 8
    line = Example("x", Path("x.wav"), "train", "w", "w", "s", "sad")
    for row, value in found:
        said = read_answer(row["completion"], row["format"], line).said
        assert value == row["reward"] == pytest.approx(1 / len(said.split()) if said else 0.0, abs=1e-6)
    assert any(value for _, value in found)
    (table,) = list((workdir / "run/rollouts").glob("*.csv"))[:1]
    assert "reward/brevity" in next(csv.reader(table.open()))


def test_the_weighted_sum_of_the_page_counts_the_own_term_among_others(fit, workdir):
    assert fit("weighted.yaml", steps=1) == 0
    for row, value in rows(workdir, "brevity"):
        assert row["reward"] == pytest.approx(value + 0.5 * row["reward/format"], abs=2e-6)


def test_the_batch_term_of_the_page_may_be_negative(fit, workdir):
    (workdir / "batch.yaml").write_text(
        "model: {init_args: {reward: {class_path: cogrl.rewards.WeightedSum, init_args: "
        "{terms: {unlike: {class_path: my_term.Unlike}}, weights: {unlike: 1.0}}}}}"
    )
    assert fit("batch.yaml", steps=1) == 0
    found = [value for _, value in rows(workdir, "unlike")]
    assert found and all(-1 <= value < 0 for value in found)


WRONG = {
    "my_rewrad.brevity": "'my_rewrad.brevity' can not be imported: No module named 'my_rewrad'",
    "my_reward.brevty": "my_reward has no 'brevty'; did you mean 'brevity'?",
    "broken.two": "two(completion, example) can not be called with one answer (missing a required argument: "
    "'example'); write it as def two(answer: cogrl.rewards.Answer) -> float | None",
    "broken.number": "broken.number is no class but 3",
}
BROKEN = """
number = 3

def two(completion, example):
    return 1.0

def crash(answer):
    return 1 / 0

def words(answer):
    return "five"
"""


@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_is_not_there_or_takes_something_else_is_named_before_anything_is_read(
    fit, workdir, capsys, monkeypatch, name
):
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (workdir / "broken.py").write_text(BROKEN)
    (workdir / "wrong.yaml").write_text(f"model: {{init_args: {{reward: {name}}}}}")
    assert fit("wrong.yaml") == 2
    assert WRONG[name] in capsys.readouterr().err and not (workdir / "run/rollouts").exists()


@pytest.mark.parametrize(
    ("name", "reason"), [("crash", "ZeroDivisionError"), ("words", "it gave 'five', a str; give a number")]
)
def test_what_goes_wrong_inside_a_function_is_said_with_the_sample(fit, workdir, monkeypatch, name, reason):
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (workdir / "broken.py").write_text(BROKEN)
    (workdir / "wrong.yaml").write_text(f"model: {{init_args: {{reward: broken.{name}}}}}")
    sample = rf"first: reward term '{name}' failed on sample \S+ \(.*jsonl:\d+\), format \w+: .*"
    with pytest.raises(RuntimeError, match=sample + reason):
        fit("wrong.yaml")
