"""`cogrl vllm`: a vLLM server, out of an environment of its own, that samples for a policy in training."""

import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Options behind -- are given to `vllm serve`: -- --gpu-memory-utilization 0.4. See docs/vllm.md"
    parser.add_argument(
        "--policy", required=True, help="the folder that policy.path names: its processor and its first weights"
    )
    parser.add_argument("--python", required=True, help="the Python of the environment that vLLM is installed in")
    parser.add_argument("--host", default="127.0.0.1", help="reachable from there: anyone may change its weights")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("more", nargs="*", metavar="-- OPTION", help="of vllm serve")


def main(options: argparse.Namespace) -> int:
    from cogrl.models.saved import refuse_no_policy
    from cogrl.rollout.vllm.launch import server_command

    refuse_no_policy(options.policy)
    if not Path(options.python).is_file():
        raise FileNotFoundError(
            f"--python {options.python} does not exist; install vLLM into an environment of its own (docs/vllm.md) and "
            "name its bin/python"
        )
    command, variables = server_command(options.python, options.policy, options.port, options.host, options.more)
    print(f"vLLM at http://{options.host}:{options.port} with {options.policy}; Ctrl-C ends it", flush=True)
    os.execve(options.python, command, os.environ | variables)
