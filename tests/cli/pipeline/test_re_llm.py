"""RE-LLM's pipelines: the paper's settings fit together, and the small one runs to its report in a few steps."""

import json
from pathlib import Path

import pytest
import yaml

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def corpus(smoke_corpus, workdir):
    (workdir / "configs").symlink_to(ROOT / "configs")
    return smoke_corpus


def test_the_papers_settings_fit_together(corpus, tiny_policy_dir, emotion_dir, workdir, capsys):
    (workdir / "train.jsonl").write_text((corpus / "sft.jsonl").read_text())
    (workdir / "test.jsonl").write_text((corpus / "test.jsonl").read_text())
    (workdir / "posts.csv").write_text("sp_id,rp_id,seeker_post,response_post,level,rationales\n")
    given = {"corpus": workdir, "model": tiny_policy_dir, "emotion": emotion_dir}
    given |= {"er": workdir / "posts.csv", "ex": workdir / "posts.csv"}
    changes = [word for name, value in given.items() for word in ("--set", f"vars.{name}={value}")]
    status = main(["run", "configs/pipelines/re_llm.yaml", "--dry-run", *changes])
    assert status == 0 and "re_llm: all 7 steps fit together; nothing was run" in capsys.readouterr().out


def test_both_scales_hold_the_speech_model_and_re_llm_to_the_same_data_and_steps():
    """What they differ in is the module and the losses on the frames."""
    for name in ("re_llm", "re_llm_mini"):
        steps = yaml.safe_load((ROOT / f"configs/pipelines/{name}.yaml").read_text())["steps"]
        fits = {step["name"]: step["fit"] for step in steps if "fit" in step}
        speech, full = fits["speech"], fits["re_llm"]
        assert speech["config"] == full["config"]
        old, new = speech["overrides"], full["overrides"]
        changed = {key for key in old | new if old.get(key) != new.get(key)}
        own = {"model.policy.emotion", "model.dimension_order"}
        assert changed == own | {"model.emotion", "model.dimensions"}
        assert new["model.dimension_order"] == ["arousal", "valence", "dominance"]


@pytest.mark.slow
def test_the_small_pipeline_runs_from_its_corpus_to_its_report(corpus, workdir):
    pipeline = yaml.safe_load((workdir / "configs/pipelines/re_llm_mini.yaml").read_text())
    pipeline["vars"]["corpus"] = str(corpus)
    pipeline["steps"] = [step for step in pipeline["steps"] if step["name"] != "corpus"]
    short = {"read": 150, "text": 2, "speech": 2, "re_llm": 2}
    more = {"rated": ["--epochs", "1"], "emotion": ["--epochs", "1"], "report": ["--limit", "14"]}
    for step in pipeline["steps"]:
        if "fit" in step:
            step["fit"]["overrides"] |= {"trainer.max_steps": short[step["name"]]}
        step.get("command", []).extend(more.get(step["name"], []))
    (workdir / "small.yaml").write_text(yaml.safe_dump(pipeline))
    assert main(["run", "small.yaml"]) == 0
    run = workdir / "runs/re_llm_mini/seed0"
    report = json.loads((run / "report/report.json").read_text())
    assert set(report["policies"]) == {"text", "speech", "re_llm"}
    assert {"ER_direct", "EX_direct", "ua"} <= set(report["policies"]["re_llm"])
    assert "p_signed_rank" in report["differences"]["re_llm - speech"]["ER_direct"]
    assert (run / "re_llm/export/emotion/projection.safetensors").is_file()
    targets = [json.loads(line)["targets"] for line in (run / "responses/train.jsonl").read_text().splitlines()]
    assert targets and all(set(each) == {"direct"} for each in targets)
