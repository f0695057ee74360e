"""Several `cogrl` commands, so many at a time, each a process of its own on one thread."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cogrl.callbacks.mlflow_store import one_at_a_time, prepare
from cogrl.cli.pipeline.parent_run import experiment

_LOOK_EVERY_S = 0.5


def side_by_side(commands: Mapping[str, Sequence[str]], root: Path, at_once: int = 2) -> None:
    """Run them all in the folder `root`, in order, `at_once` of them at a time.

    When one fails, no further one is started; what runs is waited for, also after Ctrl-C, which reaches it too. What
    they share is to be made before.

    Raises RuntimeError naming the commands that failed.
    """
    set_up_store(root)
    waiting, running, failed = dict(commands), {}, []
    try:
        while running or (waiting and not failed):
            while waiting and not failed and len(running) < at_once:
                name = next(iter(waiting))
                args = [sys.executable, "-m", "cogrl.cli.main", *waiting.pop(name)]
                running[name] = subprocess.Popen(args, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"})
            time.sleep(_LOOK_EVERY_S)
            ended = {name: status for name, process in running.items() if (status := process.poll()) is not None}
            failed += [name for name, status in ended.items() if status]
            running = {name: process for name, process in running.items() if name not in ended}
    finally:
        for process in running.values():
            process.wait()
    if failed:
        raise RuntimeError(f"{', '.join(failed)} failed; what it printed is above, run the same command to go on")


def seeds_and_overlays(
    root: Path, pipeline: str, corpora: Mapping[str, Sequence[str]], seeds: Sequence[int], overlays: Sequence[str] = ()
) -> None:
    """What several runs share first, then a pipeline on each seed, then on each seed with each of the overlay files.

    `corpora` holds the `cogrl` command of each corpus by a name. Files are given as seen from the folder `root`. Steps
    that are done are not run again. Raises RuntimeError as `side_by_side` does.
    """
    side_by_side(corpora, root)
    side_by_side({f"seed {seed}": ["run", pipeline, "--set", f"seed={seed}"] for seed in seeds}, root)
    runs = {
        f"{Path(overlay).stem}, seed {seed}": ["run", pipeline, overlay, "--set", f"seed={seed}"]
        for seed in seeds
        for overlay in overlays
    }
    side_by_side(runs, root)


def set_up_store(root: Path) -> None:
    """MLflow's database and experiment, which two runs must not make at once."""
    prepare()
    from mlflow import MlflowClient

    uri = f"sqlite:///{root.absolute()}/mlflow.db"
    with one_at_a_time(uri):
        experiment(MlflowClient(uri), uri)
