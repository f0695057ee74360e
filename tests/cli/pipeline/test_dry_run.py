"""`cogrl run --dry-run`: what would stop a pipeline is said before it starts, and nothing is done."""

import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from cogrl.cli.main import main

ROOT = Path(__file__).parents[3]
PAPER = "configs/pipelines/cogaudio.yaml"


@pytest.fixture
def paper(workdir, smoke_corpus, tiny_omni_dir, capsys):
    """`paper(*changes)`: (exit status, output, errors) of a dry run of the paper's chain on a tiny corpus and model."""
    (workdir / "configs").symlink_to(ROOT / "configs")

    def run(*changes, file=PAPER, model=tiny_omni_dir, corpus=smoke_corpus):
        given = (f"vars.corpus={corpus}", f"vars.model={model}", *changes)
        status = main(["run", str(file), "--dry-run", *(word for change in given for word in ("--set", change))])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def changed(workdir, step, **changes):
    """One step of the paper's chain with other values: overrides of a fit, or its whole `command`."""
    values = yaml.safe_load((ROOT / PAPER).read_text())
    found = next(s for s in values["steps"] if s["name"] == step)
    if "command" in changes:
        found["command"] = changes["command"]
    else:
        found["fit"]["overrides"] |= changes
    (workdir / "changed.yaml").write_text(yaml.safe_dump(values | {"steps": [found]}))
    return workdir / "changed.yaml"


def states(text):
    """The state of each step in the printed table."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith(" ")]
    table = rows[next(i for i, row in enumerate(rows) if row[:2] == ["step", "state"]) + 1 :]
    return {row[0]: " ".join(row[1:3]) if row[1] == "to" else row[1] for row in table if not row[0].endswith(":")}


def test_the_papers_chain_fits_together_and_nothing_is_written(paper, workdir, tiny_omni_dir):
    before = sorted(workdir.rglob("*"))
    status, out, _ = paper()
    assert status == 0 and "cogaudio: all 5 steps fit together; nothing was run" in out
    assert states(out) == dict.fromkeys(("align", "sft", "distill", "dr_sapo", "report"), "to do")
    assert f"model.policy.path {tiny_omni_dir}" in out and "policy runs/cogaudio/dr_sapo/export" in out
    assert sorted(workdir.rglob("*")) == before


def test_absent_weights_are_named_and_the_rest_is_still_checked(paper):
    status, out, err = paper(model="models/Qwen2.5-Omni-7B")
    assert status == 2 and "runs/cogaudio/sft/export" in out
    assert "align: model.policy.path: models/Qwen2.5-Omni-7B does not exist, and no earlier step makes it" in err
    assert "report: --policy: models/Qwen2.5-Omni-7B" in err and "sft:" not in err


def test_an_absent_corpus_is_named_for_every_step_that_reads_it(paper):
    status, _, err = paper(corpus="data/nowhere")
    assert status == 2
    for step, name, file in (
        ("align", "data.train", "sft"),
        ("dr_sapo", "data.train", "rl"),
        ("report", "--data", "test"),
    ):
        assert f"{step}: {name}: data/nowhere/{file}.jsonl does not exist" in err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model.optim.lrr": 1e-5}, "unknown key 'model.optim.lrr'; did you mean 'lr'?"),
        ({"trainer.max_steps": "soon"}, "trainer.max_steps: 'soon' is not of type int"),
        ({"model.policy.lora": {"rang": 8}}, "did you mean 'rank'?"),
        (
            {"model.reward": {"class_path": "cogrl.rewards.http_judge.HttpJudgeRewrd"}},
            "did you mean 'HttpJudgeReward'?",
        ),
        ({"trainer.strategy.stagee": 2}, "stagee"),
    ],
)
def test_every_override_is_parsed_against_the_classes_it_names(paper, workdir, change, expected):
    status, out, err = paper(file=changed(workdir, "sft", **change))
    assert status == 2 and states(out) == {"sft": "wrong"}
    assert "sft: " in err and expected in err


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["evaluate", "--polcy", "x"], "the following arguments are required: --policy"),
        (["evaluate", "--policy", "x", "--data", "d", "--out", "o", "--limt", "3"], "unrecognized arguments: --limt 3"),
        (["evalute"], "unknown command 'evalute'; did you mean 'evaluate'?"),
        (["predict", "--config", "configs/stage/sft.yaml"], "no policy given"),
    ],
)
def test_every_command_is_parsed_as_it_would_be(paper, workdir, command, expected):
    status, _, err = paper(file=changed(workdir, "report", command=command))
    assert status == 2 and "report: " in err and expected in err


def test_an_input_made_by_a_later_step_is_refused_even_if_an_old_one_is_there(paper, workdir):
    (workdir / "runs/cogaudio/distill/export").mkdir(parents=True)
    status, _, err = paper("vars.align=${vars.distill}")
    assert status == 2
    assert "sft: model.policy.path: runs/cogaudio/distill/export is made by distill, which has not run by then" in err


def test_a_misspelt_output_of_an_earlier_step_is_refused_with_the_right_one(paper):
    status, _, err = paper("vars.align=${run_dir}/align/exprt")
    assert status == 2 and "exprt does not exist" in err and "did you mean runs/cogaudio/align/export?" in err


def test_done_and_stale_steps_are_told_from_those_to_do(workdir, smoke_corpus, small_model, capsys):
    (workdir / "sft.jsonl").write_text(
        (smoke_corpus / "sft.jsonl").read_text().replace('"audio": "', f'"audio": "{smoke_corpus}/')
    )
    steps = [
        {"name": "thoughts", "command": ["build", "annotate", "--manifest", "sft.jsonl", "--out", "own.jsonl"]},
        {
            "name": "model",
            "command": ["build", "tiny-model", "--manifest", "own.jsonl", "--out", "tiny", *small_model],
        },
    ]
    (workdir / "two.yaml").write_text(yaml.safe_dump({"name": "two", "run_dir": "runs/two", "steps": steps}))

    def dry():
        assert main(["run", "two.yaml", "--dry-run"]) == 0
        return list(states(capsys.readouterr().out).values())

    assert dry() == ["to do", "to do"]
    assert main(["run", "two.yaml"]) == 0
    capsys.readouterr()
    assert dry() == ["done", "done"]
    steps.append(
        {"name": "more", "command": ["build", "annotate", "--manifest", "tiny/more.jsonl", "--out", "o.jsonl"]}
    )
    (workdir / "three.yaml").write_text(yaml.safe_dump({"name": "three", "run_dir": "runs/two", "steps": steps}))
    assert main(["run", "three.yaml", "--dry-run"]) == 2
    assert "more: --manifest: tiny/more.jsonl is missing from what model made" in capsys.readouterr().err
    shutil.move("tiny", "elsewhere")
    assert dry() == ["done", "to do"]
    shutil.move("elsewhere", "tiny")
    lines = (workdir / "sft.jsonl").read_text().splitlines(keepends=True)
    (workdir / "sft.jsonl").write_text("".join(lines[:-1]))
    assert dry() == ["stale", "stale"]  # the model's manifest is still the old one, and will not be


@pytest.mark.slow
def test_the_papers_chain_runs_on_a_tiny_omni(workdir, smoke_corpus, tiny_omni_dir, monkeypatch, capfd):
    """Every stage a step, adapters and all; ZeRO and the judge's server are left out."""
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'kernels'}")
    (workdir / "configs").symlink_to(ROOT / "configs")
    changes = [f"vars.corpus={smoke_corpus}", f"vars.model={tiny_omni_dir}"]
    words = [PAPER, "configs/overlays/cogaudio_laptop.yaml", *(w for change in changes for w in ("--set", change))]
    assert main(["run", *words, "--dry-run"]) == 0
    assert main(["run", *words]) == 0, capfd.readouterr()
    assert "| dr_sapo |" in (workdir / "runs/cogaudio_laptop/report/report.md").read_text()
    client = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cogrl").experiment_id])
    fits = {run.info.run_name: run.data for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert set(fits) == {"align", "sft", "distill", "dr_sapo", "evaluate"}
    for name in ("align", "sft", "distill", "dr_sapo"):
        assert fits[name].params["model.init_args.policy.init_args.lora.rank"] == "8"
    capfd.readouterr()
    assert main(["run", *words, "--dry-run"]) == 0
    assert set(states(capfd.readouterr().out).values()) == {"done"}


def test_a_dry_run_looks_for_the_reference(paper, workdir):
    penalised = {"model.objective.kl_coef": 0.04}
    status, out, err = paper(file=changed(workdir, "dr_sapo", **penalised, **{"model.reference": "runs/gone"}))
    assert status == 2 and "model.reference: runs/gone does not exist" in err
    _, out, err = paper(file=changed(workdir, "dr_sapo", **penalised, **{"model.reference": "base"}))
    assert "model.reference" not in out + err
