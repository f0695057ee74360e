"""The variants of Echo's small pipeline change what they say, and its tables hold figures that are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cogrl.cli.pipeline.pipeline import read_pipeline

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
BASE = Path("configs/pipelines/echo_mini.yaml")
OVERLAYS = sorted(file.relative_to(ROOT) for file in HERE.glob("*.yaml"))
Printed = Callable[[Sequence[str]], dict]
pytestmark = pytest.mark.usefixtures("in_the_repository")
CHANGED = {
    "text_grounded": ("sft", {"target_excerpts"}, 1),
    "double_rate": ("one_pass", {"policy"}, 1),
    "price": ("grpo", {"reward"}, 1),
    "longer": ("grpo", set(), 2),
    "credit": ("grpo", {"counterfactuals", "reward"}, 1),
    "tower": ("grpo", {"policy"}, 5 / 3),
}
"""By variant: the step it changes, the settings of its stage that do, and how many times its steps."""


def stage(printed: Printed, overlay: Path | None, name: str) -> dict:
    """The settings of a step in a variant; None: in the full pipeline."""
    pipeline = read_pipeline(BASE, ["seed=2"], [overlay] if overlay else [])
    (found,) = [step for step in pipeline.steps if step.name == name]
    return printed(list(found.args))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda file: file.stem)
def test_a_variant_begins_with_the_main_run_of_its_seed_and_changes_what_its_name_says(overlay, printed):
    name, expected, times = CHANGED[overlay.stem]
    full, variant = stage(printed, None, name), stage(printed, overlay, name)
    steps = variant["trainer"]["max_steps"] / full["trainer"]["max_steps"]
    assert steps == pytest.approx(times)
    full, variant = full["model"]["init_args"], variant["model"]["init_args"]
    assert full["policy"]["init_args"]["path"] == variant["policy"]["init_args"]["path"]
    assert {key for key in full if full[key] != variant[key]} == expected


def record(number: int, right: bool, policy: str, format: str) -> dict:
    found = {"id": f"q{number}", "cell": f"c{number}", "task": "say" if number else "two", "right": float(right)}
    found |= {"policy": policy, "format": format}
    cited = {"clips": 1, "seconds": 2.0, "audio_tokens": 50, "hit": 1.0, "iou": 0.25, "invalid": {"reversed": 1}}
    return found | ({"segments": cited} if format == "echo" else {})


@pytest.fixture
def runs(module, tmp_path, monkeypatch):
    """Two seeds of the full run, and one of a variant."""
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def write(folder: Path, format: str, **right: int) -> None:
        folder.mkdir(parents=True)
        rows = [record(i, i < many, policy, format) for policy, many in right.items() for i in range(4)]
        (folder / "answers_choice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    for seed in (0, 1):
        write(module.run_dir(seed) / "report", "echo", sft_on=3, sft_off=1, grpo_on=4, grpo_off=1)
        write(module.run_dir(seed) / "report_one_pass", "choice", one_pass=2)
    write(module.run_dir(1, "price") / "report", "echo", price=2)


def test_the_tables_hold_what_is_right_and_what_is_cited(module, runs):
    result = module.summary([0, 1])
    assert result["policies"]["sft_on"]["accuracy"]["mean"] == 0.75
    assert result["policies"]["sft_on"]["invalid"]["mean"] == 1.0 and "clips" not in result["policies"]["one_pass"]
    gains = {name: found["accuracy"]["mean"] for name, found in result["differences"].items()}
    assert gains == {
        "sft_on minus sft_off": 0.5,
        "sft_on minus grpo_on": -0.25,
        "sft_on minus grpo_off": 0.5,
        "sft_on minus one_pass": 0.25,
        "grpo_on minus grpo_off": 0.75,
        "sft_on minus price": 0.25,
        "price minus grpo_on": -0.5,
    }
    text = module.markdown(result | {"seconds": {"0": {"grpo": 60.0}, "1": {"grpo": 30.0}}})
    assert "| price minus grpo_on |" in text
