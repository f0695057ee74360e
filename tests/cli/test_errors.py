"""What the user reads after a mistake: the file, the key, the value, the nearest thing that exists."""

import subprocess
import sys

import pytest
from command_output import complaint

from cogrl.cli.main import main

WRONG = {
    "top level": ("dat: {train: x}", "unknown key 'dat'; did you mean 'data'?"),
    "trainer": ("trainer: {max_step: 3}", "unknown key 'trainer.max_step'; did you mean 'max_steps'?"),
    "init_args": (
        "model: {init_args: {format: {eips: 1}}}",
        "unknown key 'model.init_args.format'; did you mean 'formats'?",
    ),
    "inherited": (
        "model: {init_args: {optm: {lr: 1}}}",
        "unknown key 'model.init_args.optm'; did you mean 'optim'?",
    ),
    "dataclass": (
        "model: {init_args: {optim: {learning: 1}}}",
        "unknown key 'model.init_args.optim.learning'; known here: betas, lr",
    ),
    "policy": (
        "model: {init_args: {policy: {init_args: {dtyp: float32}}}}",
        "unknown key 'model.init_args.policy.init_args.dtyp'; did you mean 'dtype'?",
    ),
    "optional dataclass": (
        "model: {init_args: {policy: {init_args: {lora: {rnk: 4}}}}}",
        "unknown key 'model.init_args.policy.init_args.lora.rnk'; did you mean 'rank'?",
    ),
    "beside init_args": (
        "model: {init_arg: {}, init_args: {}}",
        "unknown key 'model.init_arg'; did you mean 'init_args'?",
    ),
    "class": (
        "model: {class_path: cogrl.stages.Sfd}",
        "model.class_path: cogrl.stages has no 'Sfd'; did you mean 'Sft'?",
    ),
    "module": ("model: {class_path: cogrl.stage.Sft}", "model.class_path: 'cogrl.stage.Sft' can not be imported"),
    "callback group": ("checkpoint: {every_n_step: 3}", "unknown key 'checkpoint.every_n_step'; did you mean"),
    "callback": (
        "trainer: {callbacks: [{class_path: pytorch_lightning.callbacks.EarlyStopping, init_args: {monitr: x}}]}",
        "unknown key 'trainer.callbacks[0].init_args.monitr'; did you mean 'monitor'?",
    ),
    "logger": (
        "trainer: {logger: {class_path: pytorch_lightning.loggers.CSVLogger, init_args: {dir: x}}}",
        "unknown key 'trainer.logger.init_args.dir'",
    ),
    "number": ("trainer: {max_steps: ten}", "trainer.max_steps: 'ten' is not of type int"),
    "deep number": (
        "model: {init_args: {optim: {lr: fast}}}",
        "model.init_args.optim.lr: 'fast' is not of type float",
    ),
    "deep flag": (
        "model: {init_args: {policy: {init_args: {train_audio_tower: perhaps}}}}",
        "model.init_args.policy.init_args.train_audio_tower: 'perhaps' is not of type bool",
    ),
    "group": ("data: sft.jsonl", "data: 'sft.jsonl' is not a group of keys"),
    "interpolation": ("data: {train: '${corpus}/sft.jsonl'}", "${corpus} is not defined"),
    "syntax": ("data: [", "not YAML"),
    "no mapping": ("- data", "must hold keys and values, got list"),
}


@pytest.mark.sample(6)
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_named_with_its_key_and_the_nearest_valid_one(command, workdir, capsys, case):
    content, expected = WRONG[case]
    (workdir / "mine.yaml").write_text(content)
    text = complaint(command("fit", "--config", "mine.yaml"), capsys)
    assert text.startswith("cogrl: error: mine.yaml: ")
    assert expected in text


def test_a_file_that_is_wrong_only_together_with_a_later_class_is_still_found(command, workdir, capsys):
    (workdir / "early.yaml").write_text("model: {init_args: {group_sise: 4}}")
    args = command("fit", stage="dr_sapo")
    late = ["--config", args[2], "--config", "early.yaml", *args[3:]]
    assert "early.yaml: unknown key 'model.init_args.group_sise'; did you mean 'group_size'?" in complaint(
        [args[0], *late], capsys
    )


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--trainer.max_stps=3"], "--trainer.max_stps: unknown key 'trainer.max_stps'; did you mean 'max_steps'?"),
        (["--model.policy.pth", "x"], "--model.policy.pth: unknown key 'model.policy.pth'; did you mean 'path'?"),
        (["--model.optim.lr=fast"], "--model.optim.lr: model.optim.lr: 'fast' is not of type float"),
        (["--model.optim={lr: 1"], "--model.optim={lr: 1: not YAML: "),
        (["--config", "missing.yaml"], "--config missing.yaml: no such file"),
        (["--ckpt_path=last"], "holds no checkpoint that can be read; leave the option out to start afresh"),
        (["--ckpt_path=other.ckpt"], "--ckpt_path other.ckpt"),
        (["--data.train=nowhere.jsonl"], "nowhere.jsonl is missing; make the embedded corpus with: cogrl build"),
        (["--model.policy.path=nowhere"], "policy.path='nowhere' holds no config.json"),
        (["--model.policy.dtype=float33"], "dtype='float33' is not a torch dtype"),
        (["--model.formats={eips: 2}"], "formats={'eips': 2.0}: the shares must not be negative and must sum to 1"),
        (["--checkpoint.every_n_steps=-1"], "checkpoint.every_n_steps=-1 must be at least 0"),
        (["--data.batch_size=4000"], "fewer than data.batch_size=4000"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_a_wrong_flag_is_named_with_what_to_do(command, workdir, capsys, flags, expected):
    assert expected in complaint(command("fit", *flags), capsys)


def test_a_missing_stage_is_asked_for(workdir, capsys):
    assert "no stage given; begin with --config configs/stage/" in complaint(["fit"], capsys)


def test_a_missing_policy_is_asked_for(command, capsys):
    args = command("fit")
    assert "no policy given" in complaint(args[:3], capsys)


def test_a_missing_policy_path_is_asked_for(workdir, capsys):
    (workdir / "mine.yaml").write_text(
        "model: {class_path: cogrl.stages.Sft, init_args: {policy: {class_path: cogrl.models.qwen2_audio.Qwen2Audio}}}"
    )
    assert "policy.path is missing" in complaint(["fit", "--config", "mine.yaml"], capsys)


def test_a_run_dir_that_can_not_be_made_is_refused_before_anything_is_read(command, workdir, capsys):
    (workdir / "file").write_text("")
    text = complaint(command("fit", "--run_dir=file/run", "--data.train=nowhere.jsonl"), capsys)
    assert "run_dir=" in text
    assert "choose another with --run_dir" in text


def test_debug_shows_where_the_error_was_raised(command):
    with pytest.raises(ValueError, match="must sum to 1"):
        main(command("fit", "--model.formats={eips: 2}", "--debug"))


def test_an_error_from_inside_a_library_is_not_dressed_up_as_a_mistake_of_the_user(command):
    with pytest.raises(Exception, match="devices"):
        main(command("fit", "--trainer.devices=-3"))


def test_a_pipeline_step_is_answered_as_briefly_as_a_command():
    run = subprocess.run([sys.executable, "-m", "cogrl.cli.main", "fitt"], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == "cogrl: error: unknown command 'fitt'; did you mean 'fit'?\n"


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    assert "unknown command 'fitt'; did you mean 'fit'?" in complaint(["fitt"], capsys)
