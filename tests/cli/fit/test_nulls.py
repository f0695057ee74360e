"""A null on the command line is a null wherever it stands, and never the text None."""

import pytest
import yaml

from cogrl.cli.fit.nulls import with_nulls
from cogrl.cli.main import main


def test_only_a_null_below_a_stages_own_keys_is_written_otherwise():
    kept = ["fit", "--model.policy.path=None", "--model.reward=null", "--trainer.logger=null", "--data.history", "null"]
    assert with_nulls(kept) == kept
    assert with_nulls(["--model.policy.path", "x=null", "--model.policy.lora"]) == [
        "--model.policy.path",
        "x=null",
        "--model.policy.lora",
    ]
    for given in (["--model.policy.lora=null"], ["--model.policy.lora", "~"]):
        assert with_nulls([*given, "--x=1"]) == ['--model={"policy": {"lora": null}}', "--x=1"]
    plain = [
        "--model.policy.emotion={}",
        "--model.policy.emotion.encoder=",
        "--model.x.y={",
        '--model.x.z={"a": "${"}',
        '--model.policy={"a": null}',
    ]
    assert with_nulls(plain) == plain


def test_a_null_inside_the_value_of_a_nested_key_is_written_otherwise_too():
    expected = ['--model={"reward": {"client": {"cache": null, "rate": 1e-05}}}']
    for given in ('{"cache": null, "rate": 1e-05}', "{cache: ~, rate: 1e-5}"):
        assert with_nulls([f"--model.reward.client={given}"]) == expected
        assert with_nulls(["--model.reward.client", given]) == expected
    assert with_nulls(["--model.a.b=[1, null]"]) == ['--model={"a": {"b": [1, null]}}']


@pytest.fixture
def resolved(command, capsys):
    def read(*flags, **parts):
        with pytest.raises(SystemExit) as stopped:
            main([*command("fit", *flags, **parts), "--print_config"])
        assert stopped.value.code == 0
        return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]

    return read


@pytest.mark.parametrize(
    "flags", [["--model.policy.lora=null"], ["--model.policy.lora", "null"], ["--model.policy.init_args.lora=null"]]
)
def test_adapters_are_taken_out_of_a_policy_file_on_the_command_line(resolved, flags, tiny_policy_dir):
    assert resolved(policy="qwen2_audio")["policy"]["init_args"]["lora"]["rank"] == 8
    policy = resolved(*flags, policy="qwen2_audio")["policy"]["init_args"]
    assert policy["lora"] is None and policy["dtype"] == "bfloat16" and policy["path"] == str(tiny_policy_dir)


def test_its_neighbours_stay_and_later_flags_win(resolved):
    lora = resolved("--model.policy.lora=null", "--model.policy.lora.rank=4", policy="qwen2_audio")["policy"]
    assert lora["init_args"]["lora"]["rank"] == 4
    judged = resolved("--model.reward.client.cache=null", reward="http_judge")["reward"]["init_args"]
    inside = resolved('--model.reward.client={"cache": null}', reward="http_judge")["reward"]["init_args"]
    assert judged == inside
    assert judged["client"]["cache"] is None and judged["client"]["concurrency"] == 64 and judged["deadline_s"] == 60


def test_a_key_that_must_be_text_refuses_a_null(command, workdir, capsys):
    assert main([*command("fit"), "--model.policy.path=null"]) == 2
    assert "policy.path" in capsys.readouterr().err and not (workdir / "run" / "checkpoints").exists()


def test_a_stage_trains_without_the_adapters_its_file_names(command, workdir, monkeypatch):
    from cogrl.models.lora import Lora

    monkeypatch.setattr(Lora, "inject", lambda *args: pytest.fail("adapters were added"))
    flags = ("--model.policy.lora=null", "--model.policy.dtype=float32", "--model.policy.gradient_checkpointing=false")
    assert main(command("fit", *flags, policy="qwen2_audio")) == 0
