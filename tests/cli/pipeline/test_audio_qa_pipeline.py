"""The pipeline of audio questions, every step of it, with one optimiser step a stage on the smoke corpus."""

import json
from pathlib import Path

import pytest
import yaml

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]
ONE_STEP = {"trainer.max_steps": 1, "data.batch_size": 4}


@pytest.mark.slow
def test_audio_questions_go_from_corpus_to_report(small_model, workdir, capfd):
    (workdir / "configs").symlink_to(ROOT / "configs")
    pipeline = yaml.safe_load((ROOT / "configs/pipelines/audio_qa_mini.yaml").read_text())
    steps = {step["name"]: step for step in pipeline["steps"]}
    steps["corpus"]["command"] += ["--tier", "smoke", "--workers", "1"]
    steps["model"]["command"] += small_model
    for name in ("warm_up", "sft", "grpo"):
        steps[name]["fit"]["overrides"] |= ONE_STEP
    steps["grpo"]["fit"]["overrides"] |= {"model.group_size": 2, "model.sampling.max_new_tokens": 4}
    report = steps["report"]["command"]
    report[report.index("--max-new-tokens") + 1] = "4"
    (workdir / "mine.yaml").write_text(yaml.safe_dump(pipeline))
    assert main(["run", "mine.yaml"]) == 0, capfd.readouterr()
    folder = workdir / "runs/audio_qa_mini/seed0/report"
    figures = json.loads((folder / "report.json").read_text())
    assert list(figures["policies"]) == ["base", "sft", "grpo"]
    wanted = {
        f"{format}_accuracy{end}" for format in ("choice", "think_choice") for end in ("", "_question", "_silence")
    }
    assert all(wanted <= set(found) for found in figures["policies"].values())
    assert "| grpo | think_choice | said | 16 |" in (folder / "report.md").read_text()
    assert "grpo" in capfd.readouterr().out.split("all 6 steps done")[1]
