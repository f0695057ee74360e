"""What a run leaves behind, and what happens to it when something goes wrong."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
import yaml
from mlflow import MlflowClient

from cogrl.cli.evaluate import own_command
from cogrl.cli.main import main
from cogrl.models.qwen2_audio import Qwen2Audio

HERE = Path(__file__).stem


class FailsAtStepTwo(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            raise RuntimeError("the second step went wrong")


class BreaksTheStore(pl.Callback):
    """After the first step the tracker's database file is overwritten with something else."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 1:
            Path("mlflow.db").write_bytes(b"not a database" * 1000)


@pytest.fixture
def store(workdir):
    return MlflowClient(f"sqlite:///{workdir}/mlflow.db")


def runs(store):
    experiment = store.get_experiment_by_name("cogrl")
    return store.search_runs([experiment.experiment_id])


def artifacts(store, run):
    return Path(store.get_run(run.info.run_id).info.artifact_uri.removeprefix("file://"))


def steps_of(store, run, name="train/loss"):
    return [metric.step for metric in store.get_metric_history(run.info.run_id, name)]


def test_a_run_keeps_its_configuration_its_surroundings_and_its_metrics(command, store, workdir):
    assert main(command("fit", "--trainer.max_steps=3", "--model.optim.lr=0.002", "--mlflow.parent_run_id=abc")) == 0
    (run,) = runs(store)
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.tags["mlflow.parentRunId"] == "abc"
    assert run.data.params["model.init_args.optim.lr"] == "0.002"
    assert steps_of(store, run) == [0, 1, 2]
    kept = artifacts(store, run)
    assert kept.is_relative_to(workdir / "mlruns")
    config = yaml.safe_load((kept / "config.yaml").read_text())
    assert config == yaml.safe_load((workdir / "run" / "config.yaml").read_text())
    assert config["trainer"]["max_steps"] == 3
    surroundings = json.loads((kept / "environment.json").read_text())
    assert surroundings["packages"]["torch"] == torch.__version__
    assert surroundings["git"] is None  # the working directory is no checkout


def test_the_saved_configuration_alone_repeats_the_run(command, workdir):
    assert main(command("fit", "--mlflow.experiment_name=first")) == 0
    first = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    os.rename("run/config.yaml", "again.yaml")
    assert main(["fit", "--config", "again.yaml", "--run_dir=second"]) == 0
    second = torch.load("second/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_run_is_the_same_mlflow_run_and_counts_on(command, store, workdir):
    assert main(command("fit", "--trainer.max_steps=2")) == 0
    assert main(command("fit", "--trainer.max_steps=4", "--ckpt_path=last")) == 0
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert steps_of(store, run) == [0, 1, 2, 3]
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


def test_a_run_stopped_after_its_last_step_still_exports_when_resumed(command, workdir):
    assert main(command("fit", "--trainer.max_steps=2", "--export.enabled=false")) == 0
    assert not (workdir / "run" / "export").exists()
    assert main(command("fit", "--trainer.max_steps=2", "--ckpt_path=last")) == 0
    assert (workdir / "run" / "export" / "config.json").is_file()


def test_the_exported_folder_is_the_policy_of_the_next_stage(command, workdir):
    assert main(command("fit", stage="perceive")) == 0
    assert main(command("fit", "--model.policy.path=run/export", "--run_dir=next")) == 0


@pytest.mark.parametrize("kept", [True, False])
def test_the_exported_folder_is_kept_with_the_mlflow_run_unless_told_otherwise(command, store, kept):
    assert main(command("fit", f"--export.to_mlflow={str(kept).lower()}")) == 0
    (run,) = runs(store)
    assert (artifacts(store, run) / "export" / "model.safetensors").is_file() == kept


def test_evaluate_compares_policies_and_keeps_the_report_under_the_parent(
    smoke_corpus, tiny_policy_dir, store, workdir, capsys
):
    parent = store.create_run(store.create_experiment("chain")).info.run_id
    policies = [word for name in ("one", "two") for word in ("--policy", f"{name}={tiny_policy_dir}")]
    where = ["--store", f"sqlite:///{workdir}/mlflow.db", "--parent-run", parent]
    data = ["--data", str(smoke_corpus / "test.jsonl"), "--out", "report", "--max-new-tokens", "4"]
    assert main(["evaluate", *policies, *data, *where]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[-7:-4]] == ["one", "two", "change"]
    assert printed[-3:] == [
        "full report           report/report.md",
        f"about the corpus      {smoke_corpus / 'CARD.md'}",
        f"runs, answers, audio  {own_command()} ui",
    ]
    experiment = store.get_run(parent).info.experiment_id
    (run,) = [r for r in store.search_runs([experiment]) if r.data.tags.get("mlflow.parentRunId") == parent]
    assert run.data.metrics["two/emotion_accuracy"] == 0 and run.info.status == "FINISHED"
    names = {path.name for path in artifacts(store, run).iterdir()}
    assert names == {"report.md", "report.json", "summary.txt", "answers.jsonl", "confusion.png"}


def test_conflict_is_measured_on_a_manifest_of_its_own(smoke_corpus, tiny_policy_dir, workdir, capsys):
    args = ["evaluate", "--policy", f"one={tiny_policy_dir}", "--data", str(smoke_corpus / "test.jsonl")]
    args += ["--out", "report", "--max-new-tokens", "4", "--draws", "0", "--conflict"]
    assert main([*args, str(smoke_corpus / "val.jsonl")]) == 2
    assert "in none of its 7 clips do words and voice conflict" in capsys.readouterr().err
    (workdir / "gone.jsonl").write_text((smoke_corpus / "conflict.jsonl").read_text())  # its clips are elsewhere
    assert main([*args, "gone.jsonl"]) == 2
    printed = capsys.readouterr()
    assert "gone.jsonl:1 (" in printed.err and "answering" not in printed.out
    assert main([*args, str(smoke_corpus / "conflict.jsonl")]) == 0
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert report["n"]["clips"] == report["policies"]["one"]["emotion_accuracy"]["n"] == 7
    assert [report["policies"]["one"][f"accuracy_{part}"]["n"] for part in ("conflict", "consistent")] == [5, 5]
    assert report["policies"]["one"]["accuracy_conflict_transcript"]["n"] == 5
    assert len((workdir / "report" / "answers.jsonl").read_text().splitlines()) == 7
    assert len((workdir / "report" / "answers_conflict.jsonl").read_text().splitlines()) == 14


def test_a_failed_training_reaches_the_tracker_and_leaves_a_checkpoint(command, store, workdir):
    with pytest.raises(RuntimeError, match="the second step"):
        main(command("fit", "--trainer.max_steps=5", f"--trainer.callbacks+={HERE}.FailsAtStepTwo"))
    (run,) = runs(store)
    assert run.info.status == "FAILED"
    assert run.data.tags["cogrl.error"] == "RuntimeError: the second step went wrong"
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2
    assert not (workdir / "run" / "export").exists()


def test_a_run_that_failed_finishes_as_the_same_run(command, store, workdir):
    with pytest.raises(RuntimeError):
        main(command("fit", "--trainer.max_steps=4", f"--trainer.callbacks+={HERE}.FailsAtStepTwo"))
    assert main(command("fit", "--trainer.max_steps=4", "--ckpt_path=last")) == 0
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert steps_of(store, run)[-1] == 3


def test_a_tracker_that_breaks_does_not_stop_training(command, store, workdir):
    args = command("fit", "--trainer.max_steps=4", "--mlflow.flush_every_s=0")
    with pytest.warns(UserWarning, match="MLflow did not take a record, training goes on"):
        assert main([*args, f"--trainer.callbacks+={HERE}.BreaksTheStore"]) == 0
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    assert (workdir / "run" / "export" / "config.json").is_file()


def test_a_tracker_that_never_worked_does_not_stop_training(command, workdir):
    (workdir / "file").write_text("")
    args = command("fit", "--mlflow.tracking_uri=sqlite:///file/mlflow.db")
    with pytest.warns(UserWarning, match="MLflow never took"):
        assert main(args) == 0
    assert (workdir / "run" / "export" / "config.json").is_file()


def test_tracking_can_be_turned_off(command, store, workdir):
    assert main(command("fit", "--trainer.logger=false")) == 0
    assert store.get_experiment_by_name("cogrl") is None
    assert (workdir / "run" / "config.yaml").is_file()


def test_sampling_stages_keep_their_rollouts_and_others_do_not(command, store, workdir):
    assert main(command("fit", "--trainer.max_steps=4", "--rollout_table.every_n_rollouts=1", stage="dr_sapo")) == 0
    kept = artifacts(store, runs(store)[0])
    assert sorted(p.name for p in (workdir / "run" / "rollouts").iterdir()) == [
        *("000000.csv", "000000.html", "000000.jsonl", "000002.csv", "000002.html", "000002.jsonl"),
    ]
    assert sorted(p.name for p in (kept / "rollouts").iterdir()) == [
        *("000000.csv", "000000.html", "000002.csv", "000002.html"),
    ]
    assert main(command("fit", "--run_dir=other")) == 0
    assert not (workdir / "other" / "rollouts").exists()


def test_predictions_are_written_for_every_clip(command, workdir, smoke_corpus):
    assert main(command("predict", "--model.sampling.max_new_tokens=4")) == 0
    records = [json.loads(line) for line in (workdir / "run" / "predictions.jsonl").read_text().splitlines()]
    assert len(records) == len((smoke_corpus / "test.jsonl").read_text().splitlines())
    assert set(records[0]) == {"id", "eips", "direct"}


def test_a_checkpoint_can_be_tested_and_validated(command, store, workdir):
    assert main(command("fit")) == 0
    assert main(command("validate", "--ckpt_path=last")) == 0
    assert main(command("test", "--ckpt_path=last", "--model.sampling.max_new_tokens=4")) == 0
    names = {run.info.run_name: run for run in runs(store)}
    assert set(names) == {"run", "run validate", "run test"}
    assert "test/eips/reward" in names["run test"].data.metrics


def test_evaluate_converts_foreign_audio_only_when_asked(smoke_corpus, tiny_policy_dir, workdir, capsys):
    lines = [json.loads(line) for line in (smoke_corpus / "test.jsonl").read_text().splitlines()]
    for n, line in enumerate(lines):
        samples, rate = soundfile.read(smoke_corpus / line["audio"], dtype="float32")
        line["audio"] = f"{n}.wav"
        soundfile.write(workdir / line["audio"], np.repeat(np.stack([samples, samples], 1), 2, 0), 2 * rate)
    (workdir / "foreign.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    args = ["evaluate", "--policy", f"one={tiny_policy_dir}", "--data", "foreign.jsonl", "--out", "report"]
    args += ["--max-new-tokens", "4", "--draws", "0"]
    assert main(args) == 2
    printed = capsys.readouterr()
    assert "foreign.jsonl:1 (" in printed.err and "has 2 channels, not 1" in printed.err
    assert "answering" not in printed.out
    assert main([*args, "--convert"]) == 0
    assert len((workdir / "report" / "answers.jsonl").read_text().splitlines()) == len(lines)


def test_evaluate_hears_earlier_turns_or_leaves_them_out_on_purpose(
    smoke_corpus, tiny_policy_dir, workdir, capsys, monkeypatch
):
    lines = [json.loads(line) for line in (smoke_corpus / "test.jsonl").read_text().splitlines()]
    for line in lines:
        line["audio"] = str(smoke_corpus / line["audio"])
        line["turns"] = [{"text": "Well.", "audio": str(smoke_corpus / lines[0]["audio"]), "reply": "Go on."}]
    (workdir / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    args = ["evaluate", "--policy", f"one={tiny_policy_dir}", "--data", "talks.jsonl", "--out", "report"]
    args += ["--max-new-tokens", "2", "--draws", "0"]
    assert main(args) == 2
    assert "has 1 earlier turns, as 7 of 7 lines do; set data.history (of cogrl evaluate:" in capsys.readouterr().err
    encode, encoded = Qwen2Audio.audio_tensors, []
    monkeypatch.setattr(Qwen2Audio, "audio_tensors", lambda self, w: encoded.append(len(w)) or encode(self, w))
    for history, a_clip in (("left_out", 1), ("heard", 2)):
        encoded.clear()
        assert main([*args, "--history", history]) == 0
        assert encoded == [n * a_clip for n in (7, 7, 1, 1, 7, 7)]  # the voice, silence, shuffled: both formats of each
