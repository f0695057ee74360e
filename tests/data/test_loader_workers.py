"""Workers of the loader never outlive the process that they work for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

WAITS_TO_HAND_OVER = """
import time
import torch
from cogrl.data.signal_safe_loader import SignalSafeLoader

class Large(torch.utils.data.Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return "x" * 1_000_000  # more than a pipe takes

loader = iter(SignalSafeLoader(Large(), num_workers=2, batch_size=1))
next(loader)
print(*(worker.pid for worker in loader._workers), flush=True)
time.sleep(600)
"""


def living(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_that_wait_to_hand_over_a_batch_end_when_the_main_process_is_killed():
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS_TO_HAND_OVER],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(1)  # the pipes fill up
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while any(living(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    left = [pid for pid in workers if living(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
