"""`cogrl vllm` becomes vLLM's own server, with the settings that the engine needs."""

import json
import os
import subprocess
import sys

import pytest

from cogrl.cli.main import main
from cogrl.rollout.vllm.launch import WORKER

PRINTS = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['VLLM_SERVER_DEV_MODE'], sys.path]))"


def test_it_becomes_vllms_server_with_the_policy_and_the_options_behind_the_dashes(tiny_policy_dir, tmp_path):
    python = tmp_path / "python"  # stands for that of vLLM's environment, and prints how it was called
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PRINTS}" "$@"\n')
    python.chmod(0o755)
    call = [
        "vllm",
        "--policy",
        str(tiny_policy_dir),
        "--python",
        str(python),
        "--port",
        "8123",
        "--",
        "--max-num-seqs",
        "4",
    ]
    command = [sys.executable, "-m", "cogrl.cli.main", *call]
    ran = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    words, mode, path = json.loads(ran.stdout.splitlines()[-1])
    assert words[:2] == ["-m", "vllm.entrypoints.openai.api_server"] and mode == "1"
    assert "--enable-scale-out" in words
    options = {name: words[words.index(name) + 1] for name in words if name.startswith("--")}
    assert options["--model"] == str(tiny_policy_dir) and options["--host"] == "127.0.0.1"
    assert options["--port"] == "8123" and words[-2:] == ["--max-num-seqs", "4"]
    assert options["--logprobs-mode"] == "processed_logprobs" and options["--generation-config"] == "vllm"
    assert json.loads(options["--weight-transfer-config"]) == {"backend": "folder"}
    module, _, name = options["--worker-extension-cls"].rpartition(".")
    assert f"class {name}:" in (WORKER / f"{module}.py").read_text() and str(WORKER) in path


@pytest.mark.parametrize("missing", ["policy", "python"])
def test_a_missing_policy_or_python_is_named(tiny_policy_dir, tmp_path, capsys, missing):
    policy = tmp_path if missing == "policy" else tiny_policy_dir
    assert main(["vllm", "--policy", str(policy), "--python", str(tmp_path / "python")]) == 2
    assert missing in capsys.readouterr().err
