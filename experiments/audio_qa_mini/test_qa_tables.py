"""The table of audio questions, on answers whose figures are known."""

import json
from pathlib import Path

import pytest

TASKS = ("emotion", "said")


def write(file: Path, right: int, first: str = "q0") -> Path:
    """Eight questions a policy and format: base names nothing, sft is right on `right`, grpo on all but the last."""
    counts = {"base": 0, "sft": right, "grpo": 7}
    lines = []
    for policy, count in counts.items():
        for format in ("choice", "think_choice"):
            for i in range(8):
                record = {"policy": policy, "format": format, "id": f"q{i}" if i else first, "cell": f"s/{i // 2}"}
                record |= {
                    "task": TASKS[i % 2],
                    "choices": ["a", "b"],
                    "answer": "a",
                    "chosen": "a" if i < count else None,
                }
                named = {"question": "ab"[i // 2 % 2], "silence": None, "shuffled": "b"}
                lines.append(json.dumps(record | {"chosen_in_control": named}))
    file.write_text("\n".join(lines) + "\n")
    return file


def test_accuracies_controls_and_gains_over_seeds(module, tmp_path):
    asked = module.read([write(tmp_path / "0.jsonl", 4), write(tmp_path / "1.jsonl", 6)])
    result = module.summary(asked)
    sft = result["accuracy"]["sft choice"]
    assert sft["all"]["accuracy"]["mean"] == 5 / 8 and sft["all"]["accuracy"]["seeds"] == [0.5, 0.75]
    assert sft["all"]["questions"] == 8 and sft["said"]["questions"] == 4 and sft["all"]["chance"] == 0.5
    assert (
        sft["all"]["question"]["mean"] == 0.5 and sft["all"]["silence"]["mean"] == sft["all"]["shuffled"]["mean"] == 0
    )
    gains = result["differences"]
    assert gains["grpo choice minus sft choice"]["all"]["seeds"] == [3 / 8, 1 / 8]
    assert gains["sft think_choice minus sft choice"]["all"]["mean"] == 0
    result["seconds"] = {"0": {"sft": 60.0, "grpo": 30.0}, "1": {"sft": 90.0, "grpo": 30.0}}
    text = module.markdown(result)
    assert "| sft | choice | all | 8 | 62.5 [" in text and "| 50.0, 75.0 |" in text
    assert "| grpo choice minus sft choice | 25.0 [" in text and "| seed 1 | 90 | 30 | 2.0 |" in text


def test_seeds_on_other_questions_are_refused(module, tmp_path):
    files = [write(tmp_path / "0.jsonl", 4), write(tmp_path / "1.jsonl", 4, first="other")]
    with pytest.raises(ValueError, match="are not about the same questions of"):
        module.read(files)
