"""HyPeR's pipelines: the paper's settings fit together, and the small one runs to its reports in two steps a stage."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from paqa_trace import FIELDS

from cogrl.audio import write_flac
from cogrl.cli.main import main
from cogrl.formats.paqa import PAQA

ROOT = Path(__file__).parents[3]


def line(split: str, number: int) -> dict:
    """A question about who says what, with its trace."""
    said, other = ("kettle river", "window apple")[:: 1 if number % 2 else -1]
    section_fields = FIELDS | {"asr": f"low: {said}; high: {other}", "reasoning": f"low says {said}"}
    fields = section_fields | dict.fromkeys(("summary", "response", "final_answer"), said)
    turns = [("low", 0.0, 0.4, said), ("high", 0.5, 0.9, other)]
    return {
        "id": f"{split}{number}",
        "audio": f"{split}{number}.flac",
        "split": split,
        "speaker": f"{split} low+{split} high",
        "text": f"{said} {other}",
        "text_group": f"{split}: {said}; {other}",
        "speech": [dict(zip(("speaker", "start_s", "end_s", "text"), turn, strict=True)) for turn in turns],
        "environment": "rain",
        "duration_s": 1.0,
        "snr_db": float(5 * number),
        "question": "What does the low voice say?",
        "choices": ["kettle river", "window apple"],
        "answer": said,
        "task": "say",
        "targets": {"caption": f"rain. low: {said}", "choice": said, "paqa": PAQA.render(fields)},
    }


@pytest.fixture
def corpus(workdir):
    """Sixteen lines a manifest, of noise."""
    (workdir / "configs").symlink_to(ROOT / "configs")
    folder = workdir / "data" / "paqa-mini"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in ("sft", "rl", "val", "test", "test_speech", "msqa_hard", "envqa_hard"):
        rows = [line(split, number) for number in range(16)]
        for row in rows:
            write_flac(folder / row["audio"], rng.uniform(-0.1, 0.1, 16_000).astype(np.float32), 16_000)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_papers_settings_fit_together(corpus, tiny_policy_dir, capsys):
    given = (f"vars.corpus={corpus}", f"vars.model={tiny_policy_dir}")
    status = main(
        ["run", "configs/pipelines/hyper.yaml", "--dry-run", *(w for change in given for w in ("--set", change))]
    )
    out = capsys.readouterr().out
    assert status == 0 and "hyper: all 3 steps fit together; nothing was run" in out


def test_the_papers_sft_reads_the_fillers_that_its_grpo_pauses_with():
    """Qwen2-Audio's tokenizer has no `<PAUSE>`, which a run would find out only behind its first stage."""
    steps = yaml.safe_load((ROOT / "configs/pipelines/hyper.yaml").read_text())["steps"]
    (sft,) = [step["fit"]["overrides"] for step in steps if step["name"] == "sft"]
    alone = yaml.safe_load((ROOT / "configs/controllers/pause.yaml").read_text())["model"]["init_args"]["controllers"]
    assert sft["model.target_fillers"]["latent"] == alone[0]["init_args"]["latent"]


@pytest.mark.slow
def test_the_small_pipeline_runs_from_its_corpus_to_its_reports(corpus, workdir):
    pipeline = yaml.safe_load((workdir / "configs/pipelines/hyper_mini.yaml").read_text())
    pipeline["steps"] = [step for step in pipeline["steps"] if step["name"] != "corpus"]
    for step in pipeline["steps"]:
        if "fit" in step:
            step["fit"]["overrides"] |= {"trainer.max_steps": 2}
        if "evaluate" in step.get("command", []):
            step["command"] = [*step["command"], "--limit", "4"]
    (workdir / "small.yaml").write_text(yaml.safe_dump(pipeline))
    assert main(["run", "small.yaml"]) == 0
    report = json.loads((workdir / "runs/hyper_mini/seed0/report/report.json").read_text())
    assert {"sft", "grpo"} <= set(report["policies"]) and "paqa_right_claims" in report["policies"]["grpo"]
