"""The output of a run without errors: what it did, and no warning that calls for no action."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]
SAID = re.compile(r"run folder |step \d+/2  |policy written to |\d+ answers written to |[┏┃┡│└]")
"""How the lines of a sound run begin."""
SHORT = "is longer than sampling.max_new_tokens"
"""Said of these tests' answers, which are short on purpose; elsewhere one can act upon it."""

LONG = ("--model.sampling.max_new_tokens=200",)

FITS = [
    ("perceive", "tiny", []),
    ("sft", "tiny", []),
    ("sft", "tiny_emotion", []),
    ("align", "tiny_audio", []),
    ("distill", "tiny", []),
    ("distill", "tiny", ["--model.on_policy=0.5", "--model.sampling.max_new_tokens=6"]),
    ("dr_sapo", "tiny", []),
    ("dr_sapo", "tiny", ["--data.val=null"]),
    ("sft", "tiny", ["--data.val=null"]),
    ("grpo", "tiny", ["--trainer.accumulate_grad_batches=2"]),
]


def said(args: list[str], capfd: pytest.CaptureFixture) -> list[str]:
    """All that a command prints or warns of, but for the lines it has to print."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", FutureWarning)
        for unseen in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", unseen)  # as in an ordinary process
        assert main(args) == 0
    out, err = capfd.readouterr()
    lines = [str(w.message) for w in caught] + [line for line in (out + err).splitlines() if not SAID.match(line)]
    return [line for line in lines if SHORT not in line]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("stage", "policy", "flags"), FITS)
def test_a_fit_prints_no_warning_that_nobody_can_act_upon(command, capfd, stage, policy, flags):
    assert said(command("fit", *flags, "--trainer.max_steps=2", stage=stage, policy=policy), capfd) == []


def test_adapters_and_recomputed_activations_bring_no_warnings(command, capfd):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    assert said(command("fit", "--trainer.max_steps=2", stage="dr_sapo", policy="qwen25_omni"), capfd) == []


def test_a_run_that_goes_on_says_no_more_than_that_its_epoch_was_not_over(command, capfd):
    said(command("fit", "--trainer.max_steps=1"), capfd)
    printed = said(command("fit", "--trainer.max_steps=2", "--ckpt_path=last"), capfd)
    assert [line for line in printed if "ended before the epoch ended" not in line] == []


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["validate", "test", "predict"])
def test_the_other_commands_of_a_stage_are_as_quiet(command, capfd, name):
    assert said(command(name, "--model.sampling.max_new_tokens=4"), capfd) == []


def test_clips_kept_in_memory_need_no_more_workers_on_a_machine_with_many_cores(command, capfd, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert said(command("fit", "--trainer.max_steps=2"), capfd) == []
    (advice,) = {
        line
        for line in said(command("fit", "--data.keep_in_memory=false", "--run_dir=other"), capfd)
        if "train_" in line
    }
    assert "does not have many workers" in advice  # there it helps


def test_a_real_process_is_quiet_from_its_first_import_to_its_end(command, workdir):
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'kernels'}"}
    env.pop("PYTHONWARNINGS", None)
    args = [sys.executable, "-m", "cogrl.cli.main", *command("fit", *LONG, "--trainer.max_steps=2", stage="grpo")]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert [line for line in (done.stdout + done.stderr).splitlines() if not SAID.match(line)] == []


def test_a_terminal_sees_a_bar_of_optimiser_steps(command, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(command("fit", "--trainer.max_steps=2", "--trainer.accumulate_grad_batches=2")) == 0
    shown = capsys.readouterr().err
    assert "\rtraining: 100%" in shown and "2/2 [" in shown and "train/loss=" in shown
    assert "Epoch" not in shown


def test_warnings_that_one_can_act_upon_stay(command):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main(command("fit", "--trainer.log_every_n_steps=50", "--model.sampling.max_new_tokens=4")) == 0
    message = "\n".join(str(warning.message) for warning in caught)
    assert SHORT in message  # ours
    assert "smaller than the logging interval" in message  # Lightning's


@pytest.mark.slow
def test_a_report_and_a_new_store_for_it_bring_nothing_to_standard_error(smoke_corpus, tiny_policy_dir, tmp_path):
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'kernels'}"}
    args = ["--policy", f"p={tiny_policy_dir}", "--data", str(smoke_corpus / "test.jsonl"), "--out", "report"]
    args += ["--max-new-tokens", "4", "--draws", "0", "--store", "sqlite:///new.db"]
    args = [sys.executable, "-m", "cogrl.cli.main", "evaluate", *args]
    done = subprocess.run(args, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    answering, *summary = done.stdout.splitlines()
    assert answering.startswith("answering 7 clips") and "runs, answers, audio" in summary[-1]
    assert "ui --store sqlite:///new.db" in summary[-1]


def test_a_stage_without_validation_says_so_and_what_to_run_instead(command, capsys):
    assert main(command("validate", stage="dr_sapo")) == 2
    assert "DrSapo has nothing to validate; grade its policy with: cogrl test" in capsys.readouterr().err
