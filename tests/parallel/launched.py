"""A script in two processes that find each other, as a launcher would start them."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def two_ranks(script: Path, *args: object, timeout_s: float = 400) -> list[subprocess.CompletedProcess]:
    """Both ranks' ends; a rank that hangs in a collective ignores SIGTERM, so both are killed after `timeout_s`."""
    surroundings = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "NODE_RANK": "0"}
    command = [sys.executable, str(script), *map(str, args)]
    ranks = [
        subprocess.Popen(
            command,
            env=surroundings | {"LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    ended = []
    try:
        for rank in ranks:
            out, err = rank.communicate(timeout=timeout_s)
            ended.append(subprocess.CompletedProcess(command, rank.returncode, out, err))
    finally:
        for rank in ranks:
            rank.kill()
    return ended
