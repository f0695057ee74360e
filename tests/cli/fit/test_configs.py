"""Every file under configs/ takes part in a run that makes a step."""

import math
from pathlib import Path

import pytest
from command_output import printed
from mlflow import MlflowClient

from cogrl.cli.main import main
from cogrl.cli.pipeline.pipeline import read_pipeline

CONFIGS = Path(__file__).parents[3] / "configs"
STAGES = sorted(file.stem for file in (CONFIGS / "stage").glob("*.yaml"))
SEVERAL = ("ddp", "fsdp", "zero1", "zero2", "zero3", "zero3_offload")
"""Trainer files of several GPUs; tests/parallel runs them on two processes."""
PARTS = sorted(
    (file.parent.name, file.stem)
    for kind in ("stage", "policy", "data", "trainer", "kernels")
    for file in (CONFIGS / kind).glob("*.yaml")
    if file.stem not in SEVERAL
)


NEEDS = {"align": {"policy": "tiny_audio"}}
CLASSES = {"grpo_qa": "grpo"}
"""Stage files that are not called like their class."""
"""What a stage can not do without."""
ADAPTERS = ("qwen2_audio", "qwen2_audio_blsp", "qwen25_omni", "from_folder")
"""Policies with adapters."""


def data_of(stage: str) -> list[str]:
    """Flags for a stage that needs lines which the tests' corpus does not have: those of what is heard when."""
    if stage != "perceive_frames":
        return []
    assert main(["build", "eaqa", "--tier", "smoke", "--clips", "short=8", "--workers", "1"]) == 0
    return ["--data.train=data/eaqa-mini/short.jsonl", "--data.val=null"]


@pytest.mark.parametrize("stage", STAGES)
def test_print_config_shows_the_stage_and_every_default(command, stage):
    shown = printed(command("fit", stage=stage, **NEEDS.get(stage, {})))
    assert shown["model"]["class_path"].lower().endswith(CLASSES.get(stage, stage).replace("_", ""))
    assert shown["model"]["init_args"]["sampling"]["greedy"] is False
    assert shown["run_dir"] == "run"


@pytest.mark.sample(8)
@pytest.mark.parametrize(("kind", "choice"), PARTS, ids=lambda part: part)
def test_every_file_starts_a_run_that_makes_a_step(command, workdir, kind, choice):
    if choice in ADAPTERS:
        pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    parts = {kind: choice} | NEEDS.get(choice, {})
    assert main(command("fit", "--model.policy.dtype=float32", *data_of(choice), **parts)) == 0
    assert (workdir / "run" / "export" / "config.json").is_file()
    assert (workdir / "run" / "checkpoints" / "last.ckpt").is_file()
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert math.isfinite(run.data.metrics["train/loss"])


@pytest.mark.sample(2)
@pytest.mark.parametrize("stage", STAGES)
def test_a_policy_file_of_billions_starts_every_stage_in_the_precision_it_names(command, workdir, stage):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    assert main(command("fit", "--trainer.logger=false", *data_of(stage), stage=stage, policy="qwen25_omni")) == 0
    assert '"dtype": "bfloat16"' in (workdir / "run" / "export" / "config.json").read_text()


def test_sharding_is_configured_as_its_strategy_takes_it(command):
    strategy = printed(command("fit", "--model.policy.dtype=float32", trainer="zero2"))["trainer"]["strategy"]
    assert strategy["class_path"].endswith("ZeroStrategy") and strategy["init_args"]["stage"] == 2


@pytest.mark.sample(3)
@pytest.mark.parametrize("trainer", SEVERAL)
@pytest.mark.parametrize("name", ["cogaudio", "echo", "hyper", "re_llm"])
def test_every_pipeline_of_the_papers_size_takes_every_trainer_file(name, trainer, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    found = read_pipeline(CONFIGS / "pipelines" / f"{name}.yaml", [f"vars.trainer=configs/trainer/{trainer}.yaml"])
    assert all(printed(list(step.args))["trainer"]["devices"] == -1 for step in found.steps if step.is_fit)


@pytest.mark.parametrize("file", sorted((CONFIGS / "pipelines").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_fit_of_a_pipeline_has_a_valid_configuration(file, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    fits = [step for step in read_pipeline(file).steps if step.is_fit]
    assert fits
    for step in fits:
        assert printed(list(step.args))["run_dir"] == str(step.folder)
