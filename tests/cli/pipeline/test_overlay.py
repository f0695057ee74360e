"""Overlays: values merged over the base, steps chosen by name, mistakes named with the file they are in."""

import os
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from cogrl.cli.main import main
from cogrl.cli.pipeline.pipeline import read_pipeline

REPOSITORY = Path(__file__).parents[3]
BASE = """
name: base
seed: 3
run_dir: runs/base/seed${seed}
vars:
  corpus: lime
  first: ${run_dir}/first/export
steps:
  - name: make
    command: [build, lime-mini, --out, "${vars.corpus}"]
  - name: first
    fit:
      config: [stage.yaml, policy.yaml]
      overrides:
        model.objective.tau_pos: 1.0
        model.policy.emotion: {encoder: other, train: false}
        data.train: ${vars.corpus}/sft.jsonl
  - name: second
    fit:
      config: [stage.yaml]
      overrides:
        model.policy.path: ${vars.first}
"""


@pytest.fixture
def base(workdir) -> Path:
    for name in ("stage.yaml", "policy.yaml", "other.yaml"):
        (workdir / name).write_text("model: {}\n")
    (workdir / "base.yaml").write_text(BASE)
    return Path("base.yaml")


def read(base: Path, *overlays: str, changes: tuple[str, ...] = ()):
    """The pipeline with overlays of these contents, in files a.yaml, b.yaml."""
    files = [Path(f"{letter}.yaml") for letter in "ab"[: len(overlays)]]
    for file, text in zip(files, overlays, strict=True):
        file.write_text(text)
    return read_pipeline(base, changes, files)


def args(pipeline, name: str) -> tuple[str, ...]:
    (found,) = [step.args for step in pipeline.steps if step.name == name]
    return found


def test_an_empty_overlay_changes_nothing(base):
    assert read(base, "") == read_pipeline(base)
    assert read(base, "steps: {make: {}, first: {}, second: {}}") == read_pipeline(base)


def test_only_the_steps_named_run_in_the_order_of_the_base(base):
    assert [step.name for step in read(base, "steps: {second: {}, make: }").steps] == ["make", "second"]


def test_an_overlay_without_steps_runs_them_all(base):
    pipeline = read(base, "name: other\nvars: {first: elsewhere}")
    assert pipeline.name == "other"
    assert [step.name for step in pipeline.steps] == ["make", "first", "second"]
    assert "--model.policy.path=elsewhere" in args(pipeline, "second")
    assert "--data.train=lime/sft.jsonl" in args(pipeline, "first")


def test_a_value_is_filled_in_after_merging(base):
    pipeline = read(base, "run_dir: runs/mine/seed${seed}\nseed: 5")
    assert pipeline.run_dir == Path("runs/mine/seed5")
    assert "--model.policy.path=runs/mine/seed5/first/export" in args(pipeline, "second")


def test_overrides_are_merged_a_dotted_key_being_one_key(base):
    overlay = "steps: {first: {fit: {overrides: {model.objective.tau_pos: 5.0, model.objective.tau_neg: 6.0}}}}"
    found = args(read(base, overlay), "first")
    taus = {"--model.objective.tau_pos=5.0", "--model.objective.tau_neg=6.0"}
    assert taus | {"--data.train=lime/sft.jsonl"} <= set(found)
    assert not any(word.startswith("--model={") or word == "--model.objective.tau_pos=1.0" for word in found)


def test_mappings_inside_overrides_are_merged_too(base):
    overlay = 'steps: {first: {fit: {overrides: {model.policy.emotion: {encoder: ""}}}}}'
    assert '--model.policy.emotion={"encoder": "", "train": false}' in args(read(base, overlay), "first")


def test_null_replaces_a_mapping(base):
    overlay = "steps: {first: {fit: {overrides: {model.policy.emotion: null}}}}"
    assert "--model.policy.emotion=null" in args(read(base, overlay), "first")


def test_lists_are_replaced(base):
    overlay = "steps: {first: {fit: {config: [other.yaml]}}, make: {command: [ui]}}"
    pipeline = read(base, overlay)
    assert args(pipeline, "make") == ("ui",)
    assert [word for word in args(pipeline, "first") if word.endswith(".yaml")] == ["other.yaml"]


def test_one_overlay_is_laid_over_the_next(base):
    pipeline = read(base, "seed: 4\nsteps: {first: {}, second: {}}", "steps: {second: {}}\nname: both")
    assert (pipeline.name, [step.name for step in pipeline.steps]) == ("both", ["second"])
    assert "--seed_everything=4" in args(pipeline, "second")


def test_set_is_applied_after_overlays(base):
    pipeline = read(base, "seed: 4", changes=("seed=7", "vars.first=x"))
    assert pipeline.run_dir == Path("runs/base/seed7")
    assert "--model.policy.path=x" in args(pipeline, "second")


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("stepz: {}", "unknown key 'stepz'; did you mean 'steps'?"),
        ("vars: {corpsu: x}", "unknown key 'vars.corpsu'; did you mean 'corpus'?"),
        ("vars: x", "vars holds keys and values, got 'x'"),
        ("steps: {secnd: {}}", "unknown key 'steps.secnd'; did you mean 'second'?"),
        ("steps: {first: {fits: {}}}", "unknown key 'steps.first.fits'; did you mean 'fit'?"),
        ("steps: {first: {name: x}}", "unknown key 'steps.first.name'; known here: fit"),
        ("steps: {make: {fit: {}}}", "unknown key 'steps.make.fit'; known here: command"),
        ("steps: {first: {fit: {overides: {}}}}", "'steps.first.fit.overides'; did you mean 'overrides'?"),
        ("steps: {first: {fit: {overrides: [a]}}}", "steps.first.fit.overrides holds keys and values, got ['a']"),
        ("steps: {first: [a]}", "steps.first holds keys and values, got ['a']"),
        ("steps: [first]", "maps names of steps to their changes"),
        ("steps: {}", "leave it out to run every step"),
        ("- a", "must hold keys and values, got list"),
        ("3", "must hold keys and values, got int"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_overlay_is_refused_with_file_key_and_the_nearest_valid_one(base, overlay, expected):
    with pytest.raises(ValueError, match=r"^a\.yaml: ") as error:
        read(base, overlay)
    assert expected in str(error.value)


def test_a_later_overlay_names_only_steps_the_earlier_one_has_left(base):
    with pytest.raises(ValueError, match=r"^b\.yaml: unknown key 'steps\.make'; known here: first, second$"):
        read(base, "steps: {first: {}, second: {}}", "steps: {make: {}}")


def test_what_only_the_whole_shows_names_all_files(base):
    with pytest.raises(FileNotFoundError, match=r"^base\.yaml \+ a\.yaml: step first: fit\.config: none\.yaml"):
        read(base, "steps: {first: {fit: {config: [none.yaml]}}}")
    with pytest.raises(ValueError, match=r"^a\.yaml: run_dir: \$\{vars\.nothing\} is not defined"):
        read(base, "run_dir: ${vars.nothing}")
    with pytest.raises(FileNotFoundError, match=r"^none\.yaml: no such overlay file$"):
        read_pipeline(base, (), [Path("none.yaml")])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("steps: [", "not YAML"),
        ("- a", "must hold keys and values, got list"),
        ("3", "must hold keys and values, got int"),
    ],
)
def test_a_base_that_is_no_mapping_is_refused_by_name(base, content, expected):
    base.write_text(content)
    with pytest.raises(ValueError, match=rf"^base\.yaml: .*{expected}"):
        read_pipeline(base)


def test_a_step_without_its_command_is_refused(base):
    with pytest.raises(ValueError, match=r"step make: `command` holds the words of a cogrl command, got None"):
        read(base, "steps: {make: {command: null}}")


def test_a_base_that_lacks_its_steps_is_refused_before_any_overlay(base, workdir):
    base.write_text(yaml.safe_dump({"name": "x", "run_dir": "y"}))
    with pytest.raises(ValueError, match=r"^base\.yaml: missing key 'steps'"):
        read(base, "seed: 1")


def test_run_takes_overlays_and_keeps_them_with_the_run(base, workdir, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'kernels'}")
    Path("a.yaml").write_text("name: mine\nrun_dir: runs/mine\nsteps: {make: {command: [--help]}}")
    assert main(["run", "base.yaml", "a.yaml"]) == 0
    assert "mine: all 1 steps done" in capsys.readouterr().out
    assert "usage: cogrl" in Path("runs/mine/steps/make/log.txt").read_text()
    store = MlflowClient(f"sqlite:///{workdir}/mlflow.db")
    (run,) = store.search_runs([store.get_experiment_by_name("cogrl").experiment_id])
    assert {file.path for file in store.list_artifacts(run.info.run_id)} == {"base.yaml", "a.yaml"}
    assert main(["run", "base.yaml", "missing.yaml"]) == 2
    assert "missing.yaml: no such overlay file" in capsys.readouterr().err
