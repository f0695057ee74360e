"""The vLLM engine with a real vLLM on a CPU: its log-probabilities are ours, weights handed over are proven new.

`pytest tests/rollout/test_vllm_real.py --cases slow --vllm PYTHON`, of an environment that is made as in docs/vllm.md.
"""

import os
import socket
import subprocess
import urllib.request

import pytest
import torch

from cogrl.models.reference import logprobs_of
from cogrl.models.tiny import build_tiny_model
from cogrl.rollout import Sampling
from cogrl.rollout.vllm import VLLMEngine
from cogrl.rollout.vllm.launch import server_command

pytestmark = pytest.mark.slow
SAMPLING = Sampling(temperature=0.8, max_new_tokens=12)
WIDE = {"window_s": 30, "mel_bins": 32, "tower_width": 128, "tower_layers": 1, "width": 128, "layers": 2}
"""vLLM needs attention heads of at least 32, and the 30 s window of the published model."""
OPTIONS = ("--enforce-eager", "--dtype", "float32", "--max-model-len", "1200", "--max-num-seqs", "16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, smoke_texts):
    folder = tmp_path_factory.mktemp("wide") / "policy"
    build_tiny_model(folder, smoke_texts, **WIDE, vocab_size=400)
    return folder


@pytest.fixture(scope="module")
def base_url(request, folder, tmp_path_factory):
    python = request.config.getoption("--vllm")
    if python is None:
        pytest.skip("name the Python of an environment with vLLM: --vllm PYTHON")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, variables = server_command(python, str(folder), port, more=OPTIONS)
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    environment = os.environ | variables | {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(60)
    print(log.read_text()[-8000:])


@pytest.fixture
def policy(folder):
    from cogrl.models.qwen2_audio import Qwen2Audio

    return Qwen2Audio(str(folder)).load()


def draw(engine, policy, clips, seed=1, **settings):
    how = {"group_size": 3, "generator": torch.Generator().manual_seed(seed)} | settings
    return engine.sample(policy, clips, ["eips"] * len(clips), SAMPLING, **how)


def difference(policy, rollouts):
    """The largest between the server's log-probabilities and those of the policy, teacher-forced."""
    ours = logprobs_of(policy, rollouts, SAMPLING.temperature, len(rollouts.clips))
    return (rollouts.sampling_logprobs - ours).abs().max().item()


def test_its_logprobs_are_ours_and_weights_that_are_handed_over_are_new(base_url, policy, clips):
    engine = VLLMEngine(base_url, attempts=2, startup_s=600.0)
    with torch.no_grad():
        policy.head.weight.add_(torch.randn_like(policy.head.weight), alpha=0.1)
    engine.sync(policy)
    first = draw(engine, policy, clips)
    assert len(first) == 12 and difference(policy, first) <= 1e-4
    assert not torch.equal(first.completions.ids[0], first.completions.ids[1])
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    assert difference(policy, first) > 1e-2
    engine.sync(policy)
    second = draw(engine, policy, clips)
    assert difference(policy, second) <= 1e-4
    assert engine.server.weights.version in urllib.request.urlopen(f"{base_url}/weight_info").read().decode()
    answer = draw(engine, policy, clips[:1], inputs=["what was said"])
    assert difference(policy, answer) <= 1e-4
    print("largest difference of log-probabilities", difference(policy, first), difference(policy, second))
