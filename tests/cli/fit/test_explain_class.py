"""Classes that a configuration names: no such name, or not what belongs there; the message says what is missing."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from cogrl.cli.fit.explain_class import left_open, unfit
from cogrl.cli.main import main
from cogrl.data.recipes.annotate import Annotator
from cogrl.models.audio_lm import AudioLM
from cogrl.rewards import Answer, ByFormat, Reward
from cogrl.stages import Sft
from cogrl.types import Example, Scores

HERE = Path(__file__).stem
MODEL = "write it as def score(self, answers: Sequence[Answer]) -> Scores"


class Untyped:
    def score(self, answers):
        return Scores(torch.zeros(len(answers)), {})


class Lists:
    def score(self, answers: list[Answer]) -> Scores: ...


class NoReturn:
    def score(self, answers: Sequence[Answer]): ...


class OldSignature:
    def score(self, completions: Sequence[str], examples: Sequence[Example]) -> Scores: ...


class Empty:
    pass


class Annotated:
    def __init__(self, scale) -> None:
        self.scale = scale

    def score(self, answers: Sequence[Answer]) -> Scores:
        return Scores(torch.full((len(answers),), float(self.scale)), {})


class NoMethods(AudioLM):
    pass


class Twisted(Sft):
    def __init__(self, policy: AudioLM, twist, **shared) -> None:
        super().__init__(policy, **shared)


class Counts(pl.Callback):
    def __init__(self, n) -> None:
        self.n = n


def bare_function():
    return Annotated(1)


def complaint(args: list[str], capsys: pytest.CaptureFixture) -> str:
    assert main(args) == 2
    text = capsys.readouterr().err
    assert "is not of type" not in text
    return text.removeprefix("cogrl: error: ")


REWARDS = {
    "Untyped": f"Untyped.score: 'answers' has no annotation; {MODEL}",
    "Lists": f"Lists.score: 'answers' is annotated list[Answer], not Sequence[Answer]; {MODEL}",
    "NoReturn": f"NoReturn.score: its return has no annotation; {MODEL}",
    "OldSignature": f"OldSignature.score has no parameter 'answers'; {MODEL}",
    "Empty": f"Empty has no method 'score', which a Reward needs: {MODEL}",
    "HERE": "HERE is no class but",
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", REWARDS)
def test_what_a_reward_lacks_is_said_with_method_and_parameter(command, workdir, capsys, name):
    assert f"--model.reward: model.reward: {HERE}.{REWARDS[name]}" in complaint(
        command("fit", f"--model.reward={HERE}.{name}"), capsys
    )
    (workdir / "mine.yaml").write_text(f"model: {{init_args: {{reward: {{class_path: {HERE}.{name}}}}}}}")
    text = complaint(command("fit", "--config", "mine.yaml"), capsys)
    assert text.startswith(f"mine.yaml: model.init_args.reward.class_path: {HERE}.{REWARDS[name]}")


def test_the_signature_in_the_message_is_one_that_is_taken():
    message = next(unfit(Untyped, Reward, "Untyped"))
    assert message.endswith("answers: Sequence[Answer]) -> Scores")
    assert list(unfit(Annotated, Reward, "Annotated")) == list(unfit(ByFormat, Reward, "")) == []


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (f"--model={HERE}.Empty", "Empty is no Stage; derive it from cogrl.stages.stage.Stage"),
        (f"--model.policy={HERE}.Empty", "Empty is no AudioLM; derive it from cogrl.models.audio_lm.AudioLM"),
        (
            f"--model.policy={HERE}.NoMethods",
            "NoMethods lacks audio_embeds, audio_tensors, audio_token_counts, read_folder, which",
        ),
        (
            f"--trainer.callbacks+={HERE}.Empty",
            "Empty is no Callback; derive it from pytorch_lightning.callbacks",
        ),
        (f"--trainer.logger={HERE}.Empty", "Empty is no Logger; derive it from pytorch_lightning.loggers"),
        ("--model=Stf", "no Stage is called 'Stf' (one of your own: package.module.Stf); did you mean 'Sft'?"),
        ("--model=cogrl.stages.Stf", "cogrl.stages has no 'Stf'; did you mean 'Sft'?"),
        (
            "--model=cogrl.stage.Sft",
            "can not be imported: No module named 'cogrl.stage'; cogrl has no 'stage': did you ",
        ),
        ("--model=cogrll.Sft", "'cogrll.Sft' can not be imported: No module named 'cogrll'"),
        ("--model.policy=Qwen2Audo", "no AudioLM is called 'Qwen2Audo'"),
        ("--trainer.callbacks+=EarlyStoping", "did you mean 'EarlyStopping'?"),
        ("--trainer.logger=CSVLoger", "did you mean 'CSVLogger'?"),
        ("--model.reward=HttpJudgReward", "or one of these: cogrl.rewards.http_judge.HttpJudgeReward"),
    ],
)
def test_a_class_that_does_not_belong_there_is_told_apart_from_one_that_does_not_exist(command, capsys, flag, reason):
    assert reason in complaint(command("fit", flag), capsys)


def test_classes_in_lists_and_functions_in_mappings_are_looked_at_too(command, workdir, capsys):
    for content, where, reason in (
        (
            f"trainer: {{callbacks: [{{class_path: {HERE}.Empty}}]}}",
            "trainer.callbacks[0].class_path",
            "is no Callback",
        ),
        ("trainer: {callbacks: [{class_path: EarlyStoping}]}", "trainer.callbacks[0].class_path", "'EarlyStopping'?"),
        (
            "model: {init_args: {reward: {class_path: cogrl.rewards.composite.WeightedSum, init_args: "
            "{terms: {f: cogrl.rewards.format.fromat_reward}, weights: {f: 1}}}}}",
            "model.init_args.reward.init_args.terms.f",
            "did you mean 'format_reward'?",
        ),
    ):
        (workdir / "mine.yaml").write_text(content)
        text = complaint(command("fit", "--config", "mine.yaml"), capsys)
        assert text.startswith(f"mine.yaml: {where}: ") and reason in text


@pytest.mark.parametrize(
    ("flag", "name", "key"),
    [
        (f"--model.reward={HERE}.Annotated", "Annotated needs 'scale'", "model.init_args.reward.init_args.scale"),
        (f"--model={HERE}.Twisted", "Twisted needs 'twist'", "model.init_args.twist"),
        (f"--trainer.callbacks+={HERE}.Counts", "Counts needs 'n'", "trainer.callbacks[0].init_args.n"),
    ],
)
def test_a_parameter_without_annotation_is_asked_for_and_not_filled_with_none(command, capsys, flag, name, key):
    text = complaint(command("fit", flag), capsys)
    assert name in text and "has no annotation in its __init__ and no value" in text and f"set {key}\n" in text


def test_a_parameter_without_annotation_that_is_given_is_taken(command, workdir):
    (workdir / "mine.yaml").write_text(
        f"model: {{init_args: {{reward: {{class_path: {HERE}.Annotated, init_args: {{scale: 2}}}}}}}}"
    )
    assert main(command("fit", "--config", "mine.yaml")) == 0
    assert list(left_open({"reward": {"class_path": f"{HERE}.Annotated", "init_args": {"scale": 0}}})) == []


def test_the_file_of_a_build_is_explained_in_the_same_words(workdir, smoke_corpus, capsys):
    (workdir / "mine.yaml").write_text(f"annotator: {{class_path: {HERE}.Empty}}")
    args = ["build", "annotate", "--manifest", str(smoke_corpus / "sft.jsonl"), "--out", "x.jsonl"]
    text = complaint([*args, "--annotator", "mine.yaml"], capsys)
    assert re.match(
        rf"mine\.yaml: annotator\.class_path: {HERE}\.Empty has no method '\w+', which a {Annotator.__name__}",
        text,
    )
