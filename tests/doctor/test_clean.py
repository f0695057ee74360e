"""What is in order is called so: shipped stage and policy files on tiny models of their class."""

from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = sorted(file.stem for file in (CONFIGS / "stage").glob("*.yaml"))


@pytest.mark.parametrize("stage", ["grpo", "sft"])
def test_a_sound_run_has_no_fault(doctor, folder, stage):
    said = doctor(stage=stage)
    assert said.status == 0 and said.faults == "" and not said.of("not run")
    assert not (folder / "run").exists()
    assert "doctor: no fault" in said.text
