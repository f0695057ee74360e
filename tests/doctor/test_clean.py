"""What is in order is called so: shipped stage, policy and trainer files on tiny models of their class."""

import shutil
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = [
    "grpo",
    "sft",
    *sorted({file.stem for file in (CONFIGS / "stage").glob("*.yaml")} - {"grpo", "sft", "perceive_frames"}),
]
POLICIES = sorted({file.stem for file in (CONFIGS / "policy").glob("*.yaml")} - {"tiny", "tiny_emotion"})
TRAINERS = sorted({file.stem for file in (CONFIGS / "trainer").glob("*.yaml")} - {"cpu"})


def sound(said, folder: Path) -> bool:
    """No fault, every check was run, nothing was written."""
    assert said.faults == "" and not said.of("not run"), said.text
    return said.status == 0 and "doctor: no fault" in said.text and not (folder / "run").exists()


@pytest.mark.sample(2)
@pytest.mark.parametrize("stage", STAGES)
def test_a_sound_run_of_every_stage_has_no_fault(doctor, folder, lines_of, flags_of, stage):
    lines = [f"--data.{key}={lines_of(stage) / split}.jsonl" for key, split in (("train", "sft"), ("val", "val"))]
    policy = "tiny_audio" if stage == "align" else "tiny"
    assert sound(doctor(*lines, *flags_of(stage), stage=stage, policy=policy), folder)


@pytest.mark.sample(1)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_sound_run_of_every_policy_file_has_no_fault(doctor, folder, tiny_omni_dir, policy):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    if policy == "qwen25_omni":
        shutil.rmtree("tiny")
        shutil.copytree(tiny_omni_dir, "tiny")
    stage = "align" if policy == "tiny_audio" else "grpo"
    assert sound(doctor(stage=stage, policy=policy), folder)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_sound_run_of_every_trainer_file_has_no_fault(doctor, folder, trainer):
    if trainer.startswith("zero"):
        pytest.importorskip("deepspeed")
    file = str(CONFIGS / "trainer" / f"{trainer}.yaml")
    assert sound(doctor("--config", file, "--trainer.accelerator=cpu", "--trainer.devices=2"), folder)
