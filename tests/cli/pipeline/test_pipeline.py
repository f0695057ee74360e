"""Pipelines: done steps are skipped, changed ones redone, stopped ones resumed, mistakes named."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from mlflow import MlflowClient

from cogrl.cli.main import main
from cogrl.cli.pipeline.pipeline import read_pipeline
from cogrl.cli.pipeline.steps import Runner
from cogrl.cli.run_folder import sole_writer

REPOSITORY = Path(__file__).parents[3]
CONFIGS = REPOSITORY / "configs"


@pytest.fixture
def pipeline(workdir, smoke_corpus, small_model, monkeypatch) -> Path:
    """A file with two steps: make a policy, fit it."""
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'kernels'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (workdir / "sft.jsonl").write_text(
        (smoke_corpus / "sft.jsonl").read_text().replace('"audio": "', f'"audio": "{smoke_corpus}/')
    )
    files = [str(CONFIGS / name) for name in ("stage/sft.yaml", "policy/tiny.yaml", "trainer/cpu.yaml")]
    content = {
        "name": "two steps",
        "run_dir": "runs/two",
        "seed": 1,
        "vars": {"steps": 2},
        "steps": [
            {
                "name": "model",
                "command": ["build", "tiny-model", "--out", "tiny", "--manifest", "sft.jsonl", *small_model],
            },
            {
                "name": "sft",
                "fit": {
                    "config": files,
                    "overrides": {
                        "model.policy.path": "tiny",
                        "data.train": "sft.jsonl",
                        "data.batch_size": 4,
                        "trainer.max_steps": "${vars.steps}",
                        "trainer.log_every_n_steps": 1,
                        "checkpoint.every_n_steps": 3,
                    },
                },
            },
        ],
    }
    (workdir / "two.yaml").write_text(yaml.safe_dump(content))
    return workdir / "two.yaml"


def outcomes(text: str) -> list[str]:
    """`model: skipped` and the like, from what `cogrl run` prints."""
    found = []
    for line in text.splitlines():
        if line.startswith("[") and (line.endswith("skipped") or ": done" in line):
            found.append(line.split()[1] + (" skipped" if line.endswith("skipped") else " done"))
    return found


def test_steps_are_skipped_when_done_and_redone_when_what_they_read_changes(pipeline, workdir, capfd):
    assert main(["run", str(pipeline)]) == 0
    assert outcomes(capfd.readouterr().out) == ["model: done", "sft: done"]
    assert (workdir / "runs/two/sft/export/config.json").is_file()
    assert "step 2/2" in (workdir / "runs/two/steps/sft/log.txt").read_text()

    assert main(["run", str(pipeline)]) == 0
    assert outcomes(capfd.readouterr().out) == ["model: skipped", "sft: skipped"]

    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    found = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert set(by_name) == {"two steps", "sft"}  # the second attempt is the same parent run
    assert by_name["sft"].data.tags["mlflow.parentRunId"] == by_name["two steps"].info.run_id
    assert by_name["sft"].data.params["seed_everything"] == "1"
    assert {run.info.status for run in found} == {"FINISHED"}

    lines = (workdir / "sft.jsonl").read_text().splitlines(keepends=True)
    (workdir / "sft.jsonl").write_text("".join(lines[:-1]))
    assert main(["run", str(pipeline), "--set", "vars.steps=3"]) == 0
    assert outcomes(capfd.readouterr().out) == ["model: done", "sft: done"]
    assert torch.load("runs/two/sft/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


@pytest.mark.slow
def test_a_stopped_pipeline_resumes_the_fit_it_was_in(pipeline, workdir, capfd):
    args = ["run", str(pipeline), "--set", "vars.steps=60"]
    process = subprocess.Popen([sys.executable, "-m", "cogrl.cli.main", *args], stdout=subprocess.PIPE, text=True)
    checkpoint, end = Path("runs/two/sft/checkpoints/last.ckpt"), time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "interrupted; the same command goes on from here" in output
    stopped_at = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 0 < stopped_at < 60
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    experiment = store.get_experiment_by_name("cogrl").experiment_id
    assert {run.info.status for run in store.search_runs([experiment])} == {"KILLED"}

    assert main(args) == 0
    printed = capfd.readouterr().out
    assert outcomes(printed) == ["model: skipped", "sft: done"]
    assert "sft: resumed from its last checkpoint" in printed
    runs = store.search_runs([experiment])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (fit,) = [run for run in runs if run.info.run_name == "sft"]
    steps = [metric.step for metric in store.get_metric_history(fit.info.run_id, "train/loss")]
    assert steps == list(range(60))


def test_a_named_folder_is_an_input_too(pipeline, workdir):
    (workdir / "policy").mkdir()
    step = {"name": "report", "command": ["evaluate", "--policy", "mine=policy", "--out", "report"]}
    pipeline.write_text(yaml.safe_dump(yaml.safe_load(pipeline.read_text()) | {"steps": [step]}))
    (report,) = read_pipeline(pipeline).steps
    assert report.inputs() == [Path("policy")]


def test_a_command_is_told_the_store_and_the_run_of_the_pipeline(pipeline, workdir, capfd):
    code = "import sys; print('told', *sys.argv[1:])"
    step = {"name": "tell", "command": ["--store", "${tracking_uri}", "--parent-run", "${parent_run}"]}
    pipeline.write_text(yaml.safe_dump(yaml.safe_load(pipeline.read_text()) | {"steps": [step]}))
    read = read_pipeline(pipeline)
    (workdir / "cogrl" / "cli" / "pipeline").mkdir(parents=True)
    for file in ("cogrl/__init__.py", "cogrl/cli/__init__.py", "cogrl/cli/pipeline/__init__.py"):
        (workdir / file).write_text("")
    (workdir / "cogrl" / "cli" / "pipeline" / "step.py").write_text(code)
    assert Runner(read, "run-7").run(0) == 0
    assert (
        f"told --store sqlite:///{workdir}/mlflow.db --parent-run run-7"
        in (read.steps[0].notes / "log.txt").read_text()
    )


def test_a_changed_value_changes_only_the_steps_that_use_it(pipeline):
    before, after = read_pipeline(pipeline).steps, read_pipeline(pipeline, ["vars.steps=3"]).steps
    assert before[0].args == after[0].args
    assert before[1].args != after[1].args


def test_a_failing_step_shows_the_end_of_its_output_and_stops_the_pipeline(pipeline, workdir, capfd):
    values = yaml.safe_load(pipeline.read_text())
    values["steps"][0]["command"][5] = "missing.jsonl"
    pipeline.write_text(yaml.safe_dump(values))
    assert main(["run", str(pipeline)]) == 2
    printed = capfd.readouterr()
    assert "manifest missing.jsonl is missing" in printed.err
    assert "[1/2] model: ended with status 2" in printed.out
    assert "sft" not in printed.out
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stepz": []}, "unknown key 'stepz'; did you mean 'steps'?"),
        ({"steps": [{"name": "a", "comand": ["ui"]}]}, "step a: unknown key 'comand'; did you mean 'command'?"),
        ({"steps": [{"name": "a"}]}, "step a: needs either `command` or `fit`"),
        ({"steps": [{"name": "a", "fit": {"config": ["none.yaml"]}}]}, "fit.config: none.yaml does not exist"),
        ({"steps": [{"name": "a", "fit": {"overides": {}}}]}, "unknown key 'overides'; did you mean 'overrides'?"),
        ({"steps": [{"name": "a", "command": ["ui"]}] * 2}, "every step needs its own name"),
        ({"run_dir": "${nothing}"}, "run_dir: ${nothing} is not defined"),
    ],
)
def test_a_wrong_pipeline_is_refused_before_its_first_step(pipeline, change, expected):
    pipeline.write_text(yaml.safe_dump(yaml.safe_load(pipeline.read_text()) | change))
    with pytest.raises((ValueError, FileNotFoundError), match=r"two\.yaml") as error:
        read_pipeline(pipeline)
    assert expected in str(error.value)


def test_setting_a_value_that_is_not_there_is_refused(pipeline):
    with pytest.raises(ValueError, match=r"has no value at 'vars\.stps'"):
        read_pipeline(pipeline, ["vars.stps=3"])


def test_a_step_depends_on_what_it_reads_and_not_on_what_it_writes(pipeline, workdir):
    model, sft = read_pipeline(pipeline).steps
    (workdir / "tiny").mkdir()
    (workdir / "runs/two/sft/export").mkdir(parents=True)
    (workdir / "build.json").write_text("{}")
    assert {path.name for path in model.inputs()} == {"sft.jsonl", "build.json"}
    assert {path.name for path in sft.inputs()} >= {"tiny", "sft.jsonl", "build.json", "sft.yaml"}
    assert sft.out == Path("runs/two/sft/export")
    assert model.out == Path("tiny")


@pytest.mark.slow
def test_a_step_ends_in_good_order_when_the_pipeline_is_killed_and_goes_on_afterwards(pipeline, workdir, capfd):
    args = ["run", str(pipeline), "--set", "vars.steps=60"]
    process = subprocess.Popen([sys.executable, "-m", "cogrl.cli.main", *args], stdout=subprocess.DEVNULL)
    checkpoint, end = Path("runs/two/sft/checkpoints/last.ckpt"), time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    with pytest.raises(ValueError, match=r"is being written by process \d+ on "), sole_writer(workdir / "runs/two/sft"):
        pass
    while "stopped at step" not in (workdir / "runs/two/steps/sft/log.txt").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    experiment = store.get_experiment_by_name("cogrl").experiment_id
    wanted = {"two steps": "RUNNING", "sft": "KILLED"}
    while {run.info.run_name: run.info.status for run in store.search_runs([experiment])} != wanted:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert main(args) == 0
    assert "sft: resumed from its last checkpoint" in capfd.readouterr().out
    assert {run.info.status for run in store.search_runs([experiment])} == {"FINISHED"}
