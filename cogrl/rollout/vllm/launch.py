"""How a vLLM server is started so that it serves a policy in training."""

import json
from collections.abc import Sequence
from pathlib import Path

WORKER = Path(__file__).with_name("worker")
"""The folder of what runs in vLLM's environment."""


def server_command(
    python: str, policy: str, port: int, host: str = "127.0.0.1", more: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """The command of a server with the policy's own folder, and the environment variables that vLLM needs with it.

    `python` is that of an environment with vLLM, and `more` are further options of `vllm serve`.
    """
    where = ["--model", policy, "--host", host, "--port", str(port)]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", *where]
    command += ["--enable-scale-out", "--logprobs-mode", "processed_logprobs", "--generation-config", "vllm"]
    command += ["--weight-transfer-config", json.dumps({"backend": "folder"})]
    command += ["--worker-extension-cls", "cogrl_folder_weights.FolderWeightsWorker", *more]
    return command, {"VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": str(WORKER)}
