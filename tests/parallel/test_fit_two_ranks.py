"""`cogrl fit` on two processes with the trainer files of several GPUs, on CPUs: trained, stopped, resumed, exported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from cogrl.cli.fit.checkpoints import read_checkpoint, record_of
from cogrl.models.qwen2_audio import Qwen2Audio

CONFIGS = Path(__file__).parents[2] / "configs"
LAST = Path("checkpoints/last.ckpt")


@pytest.fixture
def fit(smoke_corpus, tiny_policy_dir, workdir):
    """`fit(trainer, folder, steps)`: the end of a stage of so many steps on two ranks, SFT unless told otherwise."""

    def run(trainer: str, folder: str, steps: int, *flags: str, stage: str = "sft") -> subprocess.CompletedProcess:
        files = [f"{kind}/{name}.yaml" for kind, name in (("stage", stage), ("policy", "tiny"), ("trainer", trainer))]
        args = [
            *(word for file in files for word in ("--config", str(CONFIGS / file))),
            *("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.precision=32-true"),
            *("--trainer.log_every_n_steps=1", "--trainer.enable_model_summary=false", f"--trainer.max_steps={steps}"),
            *(f"--model.policy.path={tiny_policy_dir}", "--model.optim.lr=0.003", f"--run_dir={folder}"),
            *(f"--data.train={smoke_corpus / 'sft.jsonl'}", "--data.batch_size=2", "--data.workers=0"),
        ]
        paths = os.pathsep.join([str(CONFIGS.parent), *sys.path])
        return subprocess.run(
            [sys.executable, "-m", "cogrl.cli.main", "fit", *args, *flags],
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


def ended_well(process: subprocess.CompletedProcess) -> None:
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.slow
def test_a_run_with_sharded_weights_goes_on_and_its_export_opens_in_one_process(fit, tiny_policy_dir, workdir, clips):
    ended_well(fit("zero3", "run", 2))
    run, noted = workdir / "run", record_of(workdir / "run" / LAST)
    assert (noted["world_size"], noted["strategy"]) == (2, "zero3") and (run / LAST).is_dir()
    ended_well(fit("zero3", "run", 3, "--ckpt_path=last"))
    assert read_checkpoint(run / LAST)["global_step"] == 3
    (only,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    points = MlflowClient(f"sqlite:///{workdir}/mlflow.db").get_metric_history(only.info.run_id, "train/loss")
    assert only.info.run_id == noted["mlflow_run_id"] and sorted(point.step for point in points) == [0, 1, 2]
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_policy_dir, run / "export"))
    assert {name: t.shape for name, t in after.items()} == {name: t.shape for name, t in before.items()}
    moved = max((after[name] - before[name]).abs().max().item() for name in before)
    assert 1e-4 < moved < 1e-2
    policy = Qwen2Audio(str(run / "export")).load()
    prompts = policy.encode_prompts(["go"] * 2, [c.waveform for c in clips[:2]], ["a", "b"])
    assert policy.token_logprobs(prompts, policy.encode_targets(["yes", "no"])).logprobs.isfinite().all()
    other = fit("zero2", "run", 4, "--ckpt_path=last")
    assert other.returncode == 2 and "was written with strategy zero3, this run has zero2" in other.stderr
    of_second_rank = run / LAST / "checkpoint" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    of_second_rank.write_bytes(b"cut")
    assert read_checkpoint(run / LAST) is None and read_checkpoint(run / "checkpoints" / "previous.ckpt") is not None
    of_second_rank.unlink()
    assert read_checkpoint(run / LAST) is None


@pytest.mark.slow
def test_trainer_files_of_several_gpus_train_the_same(fit, workdir):
    """Those that no other test here runs, against DDP's."""
    exports = {}
    for trainer in ("ddp", "zero1", "zero3_offload"):
        ended_well(fit(trainer, trainer, 2))
        exports[trainer] = load_file(workdir / trainer / "export" / "model.safetensors")
    for trainer, found in exports.items():
        for name, value in exports["ddp"].items():
            torch.testing.assert_close(
                found[name], value, atol=1e-6, rtol=1e-4, msg=lambda said, t=trainer: f"{t}: {said}"
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "trainer", "stopped", "flags"),
    [
        ("sft", "fsdp", 2, []),
        ("sft", "zero3", 2, []),
        ("dr_sapo", "zero2", 3, ["--model.group_size=4", "--model.sampling.max_new_tokens=12"]),
    ],
    ids=["SFT under FSDP2", "SFT under ZeRO-3", "DR-SAPO under ZeRO-2, between the two updates of a rollout"],
)
def test_a_run_that_goes_on_ends_where_it_would_have_ended(stage, trainer, stopped, flags, fit, workdir):
    ended_well(fit(trainer, "whole", 5, *flags, stage=stage))
    ended_well(fit(trainer, "in_two", stopped, *flags, stage=stage))
    ended_well(fit(trainer, "in_two", 5, "--ckpt_path=last", *flags, stage=stage))
    whole, in_two = (load_file(workdir / folder / "export" / "model.safetensors") for folder in ("whole", "in_two"))
    for name, value in whole.items():
        torch.testing.assert_close(in_two[name], value, atol=1e-6, rtol=0)
