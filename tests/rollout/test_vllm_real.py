"""The vLLM engine with a real vLLM on a CPU: its log-probabilities are ours, weights handed over are proven new.

`pytest tests/rollout/test_vllm_real.py --cases slow --vllm PYTHON`, of an environment that is made as in docs/vllm.md.
"""

import os
import signal
import socket
import subprocess
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from citing_policy import build_citing_policy
from mlflow import MlflowClient

from cogrl.cli.main import main
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.reference import logprobs_of
from cogrl.rollout import HFEngine, Sampling
from cogrl.rollout.controllers import Relisten
from cogrl.rollout.vllm import VLLMEngine
from cogrl.rollout.vllm.launch import server_command

pytestmark = pytest.mark.slow
CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLING = Sampling(temperature=0.8, max_new_tokens=12)
WIDE = {"window_s": 30, "mel_bins": 32, "tower_width": 128, "tower_layers": 1, "width": 128, "layers": 2}
"""vLLM needs attention heads of at least 32, and the 30 s window of the published model."""
OPTIONS = ("--enforce-eager", "--dtype", "float32", "--max-model-len", "1200", "--max-num-seqs", "16")


class RealServer:
    """vLLM on a free port, in a session of its own: its processes are killed together."""

    def __init__(self, python: str, policy: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base_url, self.log = f"http://127.0.0.1:{port}", log
        self.command, variables = server_command(python, policy, port, more=OPTIONS)
        self.environment = os.environ | variables | {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}

    def start(self) -> None:
        with self.log.open("a") as output:
            how = {"env": self.environment, "stdout": output, "stderr": output, "start_new_session": True}
            self.process = subprocess.Popen(self.command, **how)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def says(self, path: str) -> str:
        with urllib.request.urlopen(self.base_url + path) as response:
            return response.read().decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, smoke_texts):
    folder = tmp_path_factory.mktemp("wide") / "policy"
    build_citing_policy(folder, smoke_texts, **WIDE, vocab_size=400)
    return folder


@pytest.fixture(scope="module")
def server(request, folder, tmp_path_factory):
    python = request.config.getoption("--vllm")
    if python is None:
        pytest.skip("name the Python of an environment with vLLM: --vllm PYTHON")
    server = RealServer(python, str(folder), tmp_path_factory.mktemp("log") / "vllm.log")
    server.start()
    yield server
    server.kill()
    print(server.log.read_text()[-8000:])


@pytest.fixture
def policy(folder):
    return Qwen2Audio(str(folder)).load()


@pytest.fixture
def engine(server):
    return VLLMEngine(server.base_url, attempts=2, startup_s=600.0)


def moved(policy, by):
    """The policy with all its weights changed."""
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=by)
    return policy


def draw(engine, policy, clips, seed=1, **settings):
    how = {"group_size": 3, "generator": torch.Generator().manual_seed(seed)} | settings
    return engine.sample(policy, clips, ["eips"] * len(clips), SAMPLING, **how)


def difference(policy, rollouts):
    """The largest between the server's log-probabilities and those of the policy, teacher-forced."""
    ours = logprobs_of(policy, rollouts, SAMPLING.temperature, len(rollouts.clips))
    return (rollouts.sampling_logprobs - ours).abs().max().item()


def test_its_logprobs_are_ours_and_weights_that_are_handed_over_are_new(engine, server, policy, clips):
    with torch.no_grad():
        policy.head.weight.add_(torch.randn_like(policy.head.weight), alpha=0.1)
    engine.sync(policy)
    first = draw(engine, policy, clips)
    assert len(first) == 12 and difference(policy, first) <= 1e-4
    assert not torch.equal(first.completions.ids[0], first.completions.ids[1])
    moved(policy, 0.02)
    assert difference(policy, first) > 1e-2
    engine.sync(policy)
    second = draw(engine, policy, clips)
    assert difference(policy, second) <= 1e-4
    assert engine.server.weights.version in server.says("/weight_info") and engine.server.positions == 1200
    answer = draw(engine, policy, clips[:1], inputs=["what was said"])
    assert difference(policy, answer) <= 1e-4
    print("largest difference of log-probabilities", difference(policy, first), difference(policy, second))


def test_what_it_draws_behind_segments_that_are_heard_again_is_what_the_policy_scores(engine, policy, clips):
    engine.sync(moved(policy, 0.01))
    rollouts = draw(engine, policy, clips, controllers=[Relisten()])
    counts = rollouts.completions.clip_counts
    assert sum(counts) > 3 and max(counts) > 1  # so that there are three clips in a context, and two in others
    assert rollouts.completions.mask[:, 40:].any()  # drawn behind what was inserted
    assert difference(policy, rollouts) <= 1e-4
    print("clips", counts, "largest difference of log-probabilities", difference(policy, rollouts))


def test_its_greedy_answers_with_segments_are_those_of_the_engine_in_this_process(engine, policy, clips, leads):
    engine.sync(policy)
    greedy = Sampling(max_new_tokens=8, greedy=True)
    found, expected = (
        one.sample(policy, clips, ["eips"] * 4, greedy, controllers=[Relisten()]) for one in (engine, HFEngine())
    )
    assert min(leads) > 1e-3 and sum(expected.completions.clip_counts)
    assert torch.equal(found.completions.ids, expected.completions.ids)
    assert torch.equal(found.completions.roles, expected.completions.roles)
    assert (found.finish, found.spans, found.texts) == (expected.finish, expected.spans, expected.texts)
    torch.testing.assert_close(found.sampling_logprobs, expected.sampling_logprobs, rtol=0, atol=1e-4)


def test_killed_in_mid_rollout_and_restarted_it_is_given_the_weights_again(engine, server, policy, clips):
    engine.sync(moved(policy, 0.01))
    version, all_drawn, killed = engine.server.weights.version, threading.Event(), []

    def kill_and_restart():
        while not all_drawn.is_set() and not killed:
            if running(server.says("/metrics")):
                killed.append(True)
                server.kill()
                server.start()

    thread = threading.Thread(target=kill_and_restart)
    thread.start()
    rollouts = draw(engine, policy, clips * 4, controllers=[Relisten()])
    all_drawn.set()
    thread.join()
    assert killed and len(rollouts) == 48 and difference(policy, rollouts) <= 1e-4
    assert version in server.says("/weight_info")


def running(metrics: str) -> bool:
    """Whether vLLM is drawing."""
    lines = [line for line in metrics.splitlines() if line.startswith("vllm:num_requests_running")]
    return any(float(line.split()[-1]) > 0 for line in lines)


def test_grpo_from_yaml_makes_steps_with_its_rollouts_with_segments(server, folder, smoke_corpus, workdir):
    files = ["stage/grpo", "rollout/vllm", "controllers/relisten_mini"]
    files += ["policy/tiny", "data/lime_mini_rl", "trainer/cpu"]
    chosen = [word for file in files for word in ("--config", str(CONFIGS / f"{file}.yaml"))]
    flags = [f"--data.{split}={smoke_corpus / name}.jsonl" for split, name in (("train", "rl"), ("val", "val"))]
    flags += [f"--model.policy.path={folder}", f"--model.engine.base_url={server.base_url}", "--data.workers=0"]
    flags += ["--model.group_size=4", "--model.sampling.max_new_tokens=8", "--data.test=null", "--data.batch_size=2"]
    flags += ["--model.updates_per_rollout=1", "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
    assert main(["fit", *chosen, *flags, "--trainer.log_every_n_steps=1", "--run_dir=run"]) == 0
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    metrics = run.data.metrics
    print({name: metrics[name] for name in ("engine/logprobs_apart_max", "rollout/relistens", "train/loss")})
    assert metrics["engine/logprobs_apart_max"] <= 1e-4 and metrics["rollout/relistens"] > 0
