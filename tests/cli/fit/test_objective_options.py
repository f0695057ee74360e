"""`model.objective` and `model.reference` from YAML and from flags: each run makes a step, each mistake is named."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from command_output import complaint, printed
from mlflow import MlflowClient

from cogrl.cli.main import main
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.stages.rl import RLStage

PAGE = Path(__file__).parents[3] / "docs/objectives.md"


def metrics(workdir):
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FINISHED"
    return run.data.metrics


def test_a_kl_coefficient_on_the_command_line_trains_towards_a_frozen_folder(command, workdir, tiny_policy_dir):
    frozen = Qwen2Audio(str(tiny_policy_dir)).load()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in frozen.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    frozen.save(workdir / "frozen")
    assert main(command("fit", "--model.objective.kl_coef", "0.04", "--model.reference=frozen", stage="grpo")) == 0
    found = metrics(workdir)
    assert found["policy/kl"] > 0.01 and found["train/loss"] > 1e-4
    assert "policy/is_weight" not in found


def test_a_kl_penalty_and_truncated_weights_from_a_file_with_the_base_as_reference(command, workdir):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    (workdir / "mine.yaml").write_text(
        "model: {init_args: {objective: {kind: cispo, kl_coef: 0.04, is_cap: 2.0, entropy_coef: 0.001}, "
        "reference: base, policy: {init_args: {lora: {rank: 2}, train_audio_tower: false}}}}"
    )
    assert main(command("fit", "--config", "mine.yaml", stage="grpo")) == 0
    found = metrics(workdir)
    assert math.isfinite(found["policy/kl"]) and found["policy/is_weight"] == pytest.approx(1.0, abs=1e-3)


def test_a_file_changes_single_settings_of_the_stages_objective(command, workdir):
    (workdir / "mine.yaml").write_text("model: {init_args: {objective: {tau_pos: {eips: 5.0, direct: 10.0}}}}")
    found = printed(command("fit", "--config", "mine.yaml", "--model.objective.tau_neg=12", stage="dr_sapo"))
    objective = found["model"]["init_args"]["objective"]
    assert (objective["kind"], objective["tau_pos"], objective["tau_neg"]) == (
        "sapo",
        {"eips": 5.0, "direct": 10.0},
        12.0,
    )
    other = printed(command("fit", "--model.objective.kind=gspo", stage="grpo"))["model"]["init_args"]["objective"]
    assert (other["kind"], other["clip_low"], other["clip_high"]) == ("gspo", None, None)  # those of its paper


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model.objective.kl_cof=0.04"], "unknown key 'model.objective.kl_cof'; did you mean 'kl_coef'?"),
        (["--model.objective.kind=gppo"], "kind='gppo' is unknown; did you mean 'g"),
        (["--model.objective.kind=gone.mine"], "kind='gone.mine' can not be imported: ModuleNotFoundError"),
        (["--model.objective.options={high: 0.4}"], "options={'high': 0.4} have no meaning for kind='grpo'"),
        (["--model.objective.options={high: much}"], "model.objective.options: {'high': 'much'} is not of type"),
        (["--model.advantages=group_centered", "--data.train=nowhere.jsonl"], "did you mean 'group_centred'?"),
        (["--model.advantages=cogrl.objectives.advantages.grouped"], "asks for 'group_size"),
        (["--model.objective.tau_pos=3"], "tau_pos=3.0 has no meaning for kind='grpo'; leave it out"),
        (["--model.objective.kl_coef=0.04", "--data.train=nowhere.jsonl"], "a KL penalty needs a reference"),
        (["--model.reference=base", "--data.train=nowhere.jsonl"], "without it a reference is of no use"),
        (["--model.objective.kl_coef=0.04", "--model.reference=base"], "this one has none: train adapters"),
        (["--model.objective.kl_coef=0.04", "--model.reference=gone"], "reference='gone' holds no config.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_objective_is_refused_with_what_to_do(command, workdir, capsys, flags, expected):
    assert expected in complaint(command("fit", *flags, stage="grpo"), capsys)


EXAMPLES = [block.split("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]


@pytest.mark.sample(3)
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_the_page_is_a_valid_configuration(command, workdir, number):
    (workdir / "mine.yaml").write_text(EXAMPLES[number])
    stage = "dr_sapo" if "DrSapo" in EXAMPLES[number] else "grpo"
    wanted = yaml.safe_load(EXAMPLES[number])["model"]
    found = printed(command("fit", "--config", "mine.yaml", stage=stage))["model"]
    assert found["class_path"] == wanted["class_path"]
    for key, value in wanted["init_args"].items():
        assert found["init_args"][key] == (found["init_args"][key] | value if isinstance(value, dict) else value)


OWN = ["Your own objective", "Your own advantages"]


@pytest.fixture
def written_out(workdir, monkeypatch):
    """`written_out(heading)`: the code of a section of the page as files of the working folder; the module's name."""
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])

    def write(heading):
        section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
        (code,) = (block.split("```")[0] for block in section.split("```python\n")[1:])
        (config,) = (block.split("```")[0] for block in section.split("```yaml\n")[1:])
        assert len(code.splitlines()) <= 10 >= len(config.splitlines())
        name = code.splitlines()[0].removeprefix("# ")
        (workdir / name).write_text(code)
        (workdir / "mine.yaml").write_text(config)
        module = name.removesuffix(".py")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return module

    return write


@pytest.mark.parametrize("heading", OWN)
def test_the_code_of_the_page_trains_two_steps(command, workdir, written_out, heading, monkeypatch):
    module, score = written_out(heading), RLStage.score

    def with_distinct_rows(stage, *batch):
        """Answers of a random model are all graded 0, which trains nothing: of two, the second is the better one."""
        scores = score(stage, *batch)
        return replace(scores, total=torch.arange(len(scores.total)).float() % 2)

    monkeypatch.setattr(RLStage, "score", with_distinct_rows)
    assert main(command("fit", "--config", "mine.yaml", "--trainer.max_steps=2", stage="grpo")) == 0
    found = metrics(workdir)
    assert module in sys.modules and math.isfinite(found["train/loss"])
    assert found["rollout/groups_without_signal"] < 1 and found["policy/log_ratio_abs"] > 0
    # of two answers the lower one is the median: none is below it
    blamed = any(name.startswith("gate/") and name.endswith("/neg") for name in found)
    assert blamed == (heading == "Your own objective")


def test_an_error_in_code_of_ones_own_is_a_sentence_before_anything_is_read(command, workdir, written_out, capsys):
    code = (workdir / f"{written_out('Your own objective')}.py").read_text()
    (workdir / "averaging.py").write_text(code.replace("+ anchor * log_ratio**2", ".mean()"))
    flags = ["--model.objective.kind=averaging.clip_and_anchor", "--data.train=nowhere.jsonl"]
    said = complaint(command("fit", *flags, stage="grpo"), capsys)
    assert "kind='averaging.clip_and_anchor' returned () torch.float64 for 8 tokens" in said
