"""Running the steps of a pipeline: skip what is done, resume what was interrupted, show what goes on."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cogrl.atomic import atomic_write
from cogrl.callbacks.checkpoint_files import folder_of, kept
from cogrl.cli.digest import digest
from cogrl.cli.pipeline.pipeline import PARENT_RUN, Pipeline, Step
from cogrl.cli.run_folder import set_aside, sole_writer
from cogrl.cli.status_line import StatusLine
from cogrl.cli.stopping import STOPPED, handled

_TAIL = 30


class Runner:
    """Runs the steps of a pipeline, each as a process of its own.

    A step that ended well leaves `run_dir/steps/NAME/step.json` with a digest of its definition and of what it read. It
    is skipped as long as that digest is the same and its output is there; a `fit` that was interrupted goes on from its
    last checkpoint. What a step prints is in `log.txt` beside it.
    """

    def __init__(self, pipeline: Pipeline, parent_run: str | None) -> None:
        self.pipeline, self.parent_run = pipeline, parent_run

    def run(self, number: int) -> int:
        """The exit status of step `number`, 0 when it was skipped."""
        step, start = self.pipeline.steps[number], time.monotonic()
        label = f"[{number + 1}/{len(self.pipeline.steps)}] {step.name}"
        note, now = step.notes / "step.json", digest(step.args, step.inputs())
        before = json.loads(note.read_text()) if note.is_file() else {}
        same = before.get("digest") == now
        if same and before["done"] and (step.out is None or step.out.exists()):
            print(f"{label}: unchanged, skipped", flush=True)
            return 0
        if not same:
            clear(step)
        step.notes.mkdir(parents=True, exist_ok=True)
        write(note, {"digest": now, "done": False})
        resumes = same and step.folder is not None and bool(kept(folder_of(step.folder)))
        status = self.execute(step, label, resumes)
        if status == 0:
            seconds = round(time.monotonic() - start, 1)
            write(note, {"digest": now, "done": True, "seconds": seconds})
            print(f"{label}: done ({seconds} s)", flush=True)
            return 0
        if status in STOPPED:
            print(f"{label}: interrupted; the same command goes on from here", flush=True)
            return status
        log = step.notes / "log.txt"
        print("\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:]), file=sys.stderr)
        print(f"{label}: ended with status {status} ({time.monotonic() - start:.1f} s); all of its output: {log}")
        return status

    def execute(self, step: Step, label: str, resumes: bool) -> int:
        words = [word.replace(PARENT_RUN, self.parent_run or "") for word in step.args]
        args = [sys.executable, "-m", "cogrl.cli.pipeline.step", *words]
        if step.is_fit and self.parent_run:
            args.append(f"--mlflow.parent_run_id={self.parent_run}")
        if resumes:
            args.append("--ckpt_path=last")
        print(f"{label}: {'resumed from its last checkpoint' if resumes else 'started'}", flush=True)
        log = step.notes / "log.txt"
        with log.open("ab") as file:
            offset = file.tell()
            # its own session: a Ctrl-C in the terminal reaches it once, through us; the pipe ends it with us
            child = subprocess.Popen(
                args, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            with child.stdin, forwarded_signals(child) as received:
                line = StatusLine(label, log, offset)
                while child.poll() is None:
                    time.sleep(0.1)
                    line.update()
                line.clear()
        if received and child.returncode:  # a step that has ended well all the same is done
            return 128 + received[0]
        return child.returncode if child.returncode >= 0 else 128 - child.returncode


@contextmanager
def forwarded_signals(child: subprocess.Popen) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and SIGHUP go to the child, which decides; yields the signals that came."""
    received: list[int] = []

    def forward(number: int, frame) -> None:
        received.append(number)
        child.send_signal(number)

    with handled(forward):
        yield received


def clear(step: Step) -> None:
    """Set an earlier attempt with another definition or other inputs aside; of those, only the last one is kept."""
    shutil.rmtree(step.notes, ignore_errors=True)
    if step.folder is not None and step.folder.exists():
        with sole_writer(step.folder):
            set_aside(step.folder)


def write(path: Path, values: dict) -> None:
    with atomic_write(path, exclusive=True) as unfinished:
        unfinished.write_text(json.dumps(values) + "\n")
