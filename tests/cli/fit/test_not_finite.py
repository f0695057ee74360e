"""One number that is not finite: training stops before a weight changes, and what was good stays as it was."""

import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from cogrl.cli.main import main

HERE = Path(__file__).stem
LAST = Path("run/checkpoints/last.ckpt")
RL = ("--model.updates_per_rollout=2",)


class SpoilsAGradient(pl.Callback):
    """A NaN in one gradient, once, before the fifth optimiser step."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 4:
            next(p for p in pl_module.parameters() if p.grad is not None).grad.view(-1)[0] = math.nan


class SpoilsAWeight(pl.Callback):
    """An infinity in one weight after the last step."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == trainer.max_steps:
            next(p for p in pl_module.parameters() if p.requires_grad).data.view(-1)[0] = math.inf


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("stage", "flags"),
    [
        ("dr_sapo", RL),
        ("grpo", RL),
        ("sft", ()),
        ("distill", ()),
        ("perceive", ()),
        ("align", ("--model.policy.train_language_model=false",)),
    ],
)
def test_a_gradient_that_is_not_finite_ends_training_before_the_step_and_the_checkpoint_stays(
    command, workdir, capsys, stage, flags
):
    args = command("fit", "--trainer.max_steps=6", "--checkpoint.every_n_steps=2", *flags, stage=stage)
    assert main([*args, f"--trainer.callbacks+={HERE}.SpoilsAGradient"]) == 2
    said = capsys.readouterr().err
    assert "optimiser step 5 was not taken: the gradient of policy." in said
    assert "(1 of " in said and "--ckpt_path last" in said
    state = torch.load(LAST, weights_only=True)
    assert state["global_step"] == 4
    assert all(value.isfinite().all() for value in state["state_dict"].values())
    assert not Path("run/export").exists()
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "FAILED" and "optimiser step 5" in run.data.tags["cogrl.error"]
    assert main([*args, "--ckpt_path=last"]) == 0
    assert torch.load(LAST, weights_only=True)["global_step"] == 6


def test_weights_that_are_not_finite_are_neither_kept_nor_exported(command, workdir, capsys):
    args = command("fit", "--trainer.max_steps=3", "--checkpoint.every_n_steps=2")
    assert main([*args, f"--trainer.callbacks+={HERE}.SpoilsAWeight"]) == 2
    said = capsys.readouterr().err
    assert "no checkpoint at step 3: the weights are not finite" in said
    assert f"the last good one is {LAST.absolute()}" in said
    assert torch.load(LAST, weights_only=True)["global_step"] == 2
    assert not Path("run/export").exists()


@pytest.fixture
def spoiled(tiny_policy_dir, tmp_path):
    """The tiny policy with one NaN in it."""
    folder = tmp_path / "spoiled"
    folder.mkdir()
    for file in tiny_policy_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith("o_proj.weight"))
    state[name][0, 0] = math.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_policy_with_weights_that_are_not_finite_is_refused_by_every_command(
    command, spoiled, smoke_corpus, workdir, capsys
):
    clip = next((smoke_corpus / "clips").rglob("*.flac"), None) or next(smoke_corpus.rglob("*.flac"))
    data = ["--data", str(smoke_corpus / "test.jsonl"), "--out", "report", "--max-new-tokens", "2"]
    for args in (
        command("fit", f"--model.policy.path={spoiled}"),
        command("validate", f"--model.policy.path={spoiled}"),
        command("test", f"--model.policy.path={spoiled}"),
        command("predict", f"--model.policy.path={spoiled}"),
        ["evaluate", "--policy", f"one={spoiled}", *data],
        ["generate", str(clip), "--policy", str(spoiled)],
    ):
        assert main(args) == 2, args[0]
        said = capsys.readouterr().err
        assert "not finite" in said and "o_proj.weight (1 of " in said, (args[0], said)
