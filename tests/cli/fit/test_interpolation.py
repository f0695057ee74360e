"""`${…}` that can not be filled in, files that hold nothing: named, with what to do."""

import pytest

from cogrl.cli.described import described
from cogrl.cli.main import main
from cogrl.cli.pipeline.pipeline import read_pipeline
from cogrl.rewards.composite import Reward, WeightedSum

UNSET = "the environment variable 'COGRL_NOT_SET' is not set; set it (export COGRL_NOT_SET=…), or write a default"
EMPTY = ["", "# nothing yet\n", "null\n", "---\n"]


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("COGRL_NOT_SET", raising=False)


def complaint(args: list[str], capsys: pytest.CaptureFixture) -> str:
    assert main(args) == 2
    text = capsys.readouterr().err
    assert text.startswith("cogrl: error: ") and "full_key" not in text and "Traceback" not in text
    return text.removeprefix("cogrl: error: ")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("data: {train: '${oc.env:COGRL_NOT_SET}/sft.jsonl'}", "data.train"),
        ("model: {init_args: {optim: {lr: '${oc.env:COGRL_NOT_SET}'}}}", "model.init_args.optim.lr"),
        (
            "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitor: '${oc.env:COGRL_NOT_SET}'}}]}",
            "trainer.callbacks[0].init_args.monitor",
        ),
    ],
)
def test_an_unset_variable_of_a_configuration_is_named_with_file_and_key(command, workdir, capsys, content, key):
    (workdir / "mine.yaml").write_text(content)
    args = [arg for arg in command("fit", "--config", "mine.yaml") if not arg.startswith("--data.train")]
    assert complaint(args, capsys).startswith(f"mine.yaml: {key}: {UNSET}")


def test_an_unset_variable_of_a_flag_is_named_with_the_flag(command, capsys):
    text = complaint(command("fit", "--data.train=${oc.env:COGRL_NOT_SET}/x"), capsys)
    assert text.startswith(f"--data.train: data.train: {UNSET}")


def test_a_variable_that_is_set_and_one_with_a_default_are_filled_in(command, workdir, capsys, monkeypatch):
    monkeypatch.setenv("COGRL_SET", "nowhere")
    (workdir / "mine.yaml").write_text("data: {train: '${oc.env:COGRL_SET}/${oc.env:COGRL_NOT_SET,other}.jsonl'}")
    args = [arg for arg in command("fit", "--config", "mine.yaml") if not arg.startswith("--data.train")]
    assert complaint(args, capsys).startswith("manifest nowhere/other.jsonl is missing")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${env:HOME}", "${env:…} is unknown; did you mean 'oc.env'?"),
        ("${oc.env:HOME", "'${oc.env:HOME': "),
        ("${nothing.there}", "${nothing.there} is not defined: no file and no flag sets 'nothing.there'"),
    ],
)
def test_other_interpolations_that_lead_nowhere_are_named_with_file_and_key(command, workdir, capsys, text, reason):
    (workdir / "mine.yaml").write_text(f"data: {{train: '{text}'}}")
    args = [arg for arg in command("fit", "--config", "mine.yaml") if not arg.startswith("--data.train")]
    assert complaint(args, capsys).startswith(f"mine.yaml: data.train: {reason}")


PIPELINE = (
    "name: p\nrun_dir: runs\nvars: {corpus: here}\nsteps:\n- name: make\n  command: [build, lime-mini, --out, x]\n"
)


@pytest.fixture
def pipeline(workdir):
    (workdir / "p.yaml").write_text(PIPELINE)
    return workdir / "p.yaml"


def test_an_unset_variable_of_a_pipeline_or_an_overlay_is_named_with_file_and_key(pipeline, workdir, capsys):
    (workdir / "o.yaml").write_text("vars: {corpus: '${oc.env:COGRL_NOT_SET}'}")
    assert complaint(["run", "p.yaml", "o.yaml"], capsys).startswith(f"o.yaml: vars.corpus: {UNSET}")
    assert complaint(["run", "p.yaml", "--set", "vars.corpus=${oc.env:COGRL_NOT_SET}"], capsys).startswith(
        f"--set vars.corpus=${{oc.env:COGRL_NOT_SET}}: vars.corpus: {UNSET}"
    )
    pipeline.write_text(PIPELINE.replace("--out, x", "--out, '${oc.env:COGRL_NOT_SET}'"))
    assert complaint(["run", "p.yaml"], capsys).startswith(f"p.yaml: steps[0].command[3]: {UNSET}")


def test_the_configuration_of_a_step_is_read_as_carefully(pipeline, workdir, capsys):
    pipeline.write_text("name: p\nrun_dir: runs\nsteps: [{name: a, fit: {config: [f.yaml]}}]\n")
    for content, reason in (
        ("data: {train: '${oc.env:COGRL_NOT_SET}'}", f"data.train: {UNSET}"),
        ("# nothing", "holds no keys"),
        ("data: [", "not YAML"),
    ):
        (workdir / "f.yaml").write_text(content)
        text = complaint(["run", "p.yaml"], capsys)
        assert "f.yaml: " in text and reason in text


WEIGHED = """
model:
  init_args:
    reward:
      class_path: cogrl.rewards.composite.WeightedSum
      init_args:
        terms: {format: cogrl.rewards.format.format_reward}
        weights: {format: 1.0}
        max_failures: ${oc.env:COGRL_NOT_SET}
"""


def reward_in(workdir, content: str) -> Reward:
    (workdir / "reward.yaml").write_text(content)
    return described(workdir / "reward.yaml", "model.init_args.reward", Reward, "configs/reward/http_judge.yaml")


def test_what_a_file_describes_is_filled_in_too(workdir, monkeypatch):
    with pytest.raises(ValueError, match=r"reward\.yaml: model\.init_args\.reward\.init_args\.max_failures: the env"):
        reward_in(workdir, WEIGHED)
    monkeypatch.setenv("COGRL_NOT_SET", "0.5")
    found = reward_in(workdir, WEIGHED)
    assert isinstance(found, WeightedSum) and found.max_failures == 0.5


@pytest.mark.parametrize("content", EMPTY)
def test_a_file_that_holds_nothing_is_named_and_said_to_be_empty(command, pipeline, workdir, capsys, content):
    (workdir / "empty.yaml").write_text(content)
    expected = "empty.yaml: holds no keys, only comments or nothing; write some, or leave the file out\n"
    assert complaint(command("fit", "--config", "empty.yaml"), capsys) == expected
    assert complaint(["run", "empty.yaml"], capsys) == expected
    assert read_pipeline(pipeline, overlays=[workdir / "empty.yaml"]) == read_pipeline(pipeline)  # no changes
    with pytest.raises(ValueError, match="holds no keys"):
        reward_in(workdir, content)


@pytest.mark.parametrize("key", ["model", "data", "trainer"])
def test_a_key_with_nothing_below_it_is_named(command, workdir, capsys, key):
    (workdir / "mine.yaml").write_text(f"{key}:\n# data: x\n")
    assert complaint(command("fit", "--config", "mine.yaml"), capsys).startswith(f"mine.yaml: {key}: holds no keys; ")
