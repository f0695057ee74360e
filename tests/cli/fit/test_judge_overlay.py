"""One more file on the command line, and a language model judges the rollouts."""

from pathlib import Path

from chat_server import ChatServer
from mlflow import MlflowClient

from cogrl.cli.main import main

OVERLAY = Path(__file__).parents[3] / "configs" / "reward" / "http_judge.yaml"


def test_the_overlay_switches_the_judge_on_and_its_bill_is_logged(command, workdir):
    with ChatServer() as server:
        client = "--model.reward.client"
        flags = ["--config", str(OVERLAY), f"{client}.endpoint.base_url={server.base_url}", f"{client}.cache=j.sqlite"]
        assert main(command("fit", *flags, stage="dr_sapo")) == 0
        assert server.stats()["answered"] > 0
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    assert run.data.metrics["judge/failed"] == 0.0 and run.data.metrics["judge/tokens_in"] > 0
    assert (workdir / "j.sqlite").is_file()


def test_a_missing_key_is_told_before_training(command, monkeypatch, capsys):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    flags = ["--config", str(OVERLAY), "--model.reward.client.endpoint.api_key_env=NO_SUCH_KEY"]
    assert main(command("fit", *flags, stage="dr_sapo")) == 2
    assert "NO_SUCH_KEY is not set" in capsys.readouterr().err
