"""`cogrl bench`: quick help, files, and one-line refusals."""

import csv
import subprocess
import sys

import pytest

from cogrl.cli.main import main

SMALL = ["--tokens", "40", "--heads", "16x128", "--repeats", "1", "--no-memory", "--device", "cpu"]
OURS = ["--providers", "reference", "cogrl_chunked", "liger"]


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from cogrl.cli.main import main\n"
        "try: main(['bench', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'mlflow', 'matplotlib', 'numpy', 'cogrl_bench') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--heads" in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_a_benchmark_leaves_a_table_a_csv_and_pictures(workdir, capsys):
    assert main(["bench", "linear_logprob", "linear_policy_loss", *SMALL, *OURS, "--out", "bench"]) == 0
    shown = capsys.readouterr().out
    assert "| cogrl_chunked |" in shown and "- liger: not installed" in shown
    assert sorted(p.name for p in (workdir / "bench").iterdir()) == [
        "bench.csv",
        "bench.md",
        "linear_logprob.png",
        "linear_policy_loss.png",
    ]
    assert (workdir / "bench" / "bench.md").read_text() in shown
    rows = list(csv.DictReader((workdir / "bench" / "bench.csv").open()))
    assert {row["kernel_provider"] for row in rows} == {"reference", "cogrl_chunked", "liger"}


def test_a_benchmark_is_logged_to_mlflow_when_asked(workdir, capsys):
    from mlflow import MlflowClient

    store = "sqlite:///mlflow.db"
    command = ["bench", "policy_loss", *SMALL, "--providers", "reference", "cogrl_eager", "--out", "bench"]
    assert main([*command, "--mlflow", store]) == 0
    assert "not in MLflow" not in capsys.readouterr().out
    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("cogrl").experiment_id])
    assert run.info.status == "FINISHED" and "bench/policy_loss/40/cogrl_eager/full_ms" in run.data.metrics
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"bench.csv", "bench.md"}


def test_a_store_that_fails_does_not_lose_the_result(workdir, capsys):
    command = ["bench", "policy_loss", *SMALL, "--providers", "reference", "--out", "bench"]
    (workdir / "taken").write_text("a file, where the store's folder would be")
    assert main([*command, "--mlflow", "sqlite:///taken/mlflow.db"]) == 0
    assert "the benchmark is in bench but not in MLflow" in capsys.readouterr().out
    assert (workdir / "bench" / "bench.csv").is_file()


WRONG = {
    "operation": (["policy_los"], "unknown operation 'policy_los'; did you mean 'policy_loss'?"),
    "provider": (["--providers", "cogrl_chunkd"], "unknown provider 'cogrl_chunkd'; did you mean 'cogrl_chunked'?"),
    "mode": (["--modes", "forward"], "unknown mode 'forward'; did you mean 'fwd'?"),
    "dtype": (["--dtype", "int8"], "unknown dtype 'int8'"),
    "lengths": (["--lengths", "long"], "unknown lengths 'long'; did you mean 'long-tailed'?"),
    "head": (["--heads", "576by49152"], "--heads '576by49152': write WIDTHxVOCABULARY"),
    "negative head": (["--heads", "576x0"], "--heads '576x0': width, vocabulary and cap must be positive"),
    "tokens": (["--tokens", "0"], "--tokens 0: must be at least 1"),
    "rollouts": (["--rollouts", "-1"], "--rollouts -1: must be at least 1"),
    "share": (["--zero-advantages", "1.5"], "--zero-advantages 1.5: a share of the rollouts, between 0 and 1"),
    "device": (["--device", "tpu"], "unknown device 'tpu'"),
    "mlflow": (["--mlflow", "sqlite:///x.db"], "say with --out where to write them"),
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_one_line_and_measures_nothing(workdir, capsys, what):
    words, message = WRONG[what]
    assert main(["bench", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_a_gpu_that_is_not_there_is_named(workdir, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["bench", "--device", "cuda"]) == 2
    assert "torch sees no CUDA device; leave --device out" in capsys.readouterr().err


def test_an_output_that_can_not_be_written_is_refused_before_measuring(workdir, capsys):
    (workdir / "taken").write_text("a file")
    assert main(["bench", "policy_loss", *SMALL, "--out", "taken"]) == 2
    shown = capsys.readouterr()
    assert "taken" in shown.err and shown.out == ""
