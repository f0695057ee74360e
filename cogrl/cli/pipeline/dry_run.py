"""`cogrl run PIPELINE --dry-run`: each step's command line parsed in full, its inputs looked for; nothing is run."""

import argparse
import contextlib
import difflib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogrl.cli.digest import digest
from cogrl.cli.fit.train import StageCLI
from cogrl.cli.main import STAGE_COMMANDS, parser_of
from cogrl.cli.pipeline.pipeline import Pipeline, Step, within
from cogrl.cli.quiet import silence_messages
from cogrl.models.reference import BASE

_INPUTS = ("path", "reference", "encoder", "codec", "train", "val", "test")
"""Keys of a stage's `model` and `data` whose text names something it reads, other than `BASE`."""


@dataclass(frozen=True)
class Checked:
    """A step, its state, the names and paths of what it reads, and what is wrong with it."""

    step: Step
    state: str
    reads: tuple[tuple[str, Path], ...]
    problems: tuple[str, ...]


class ParsedStage(StageCLI):
    """A stage's command line, checked against every option and class it names; nothing is made or written."""

    def before_instantiate_classes(self) -> None:
        pass

    def instantiate_classes(self) -> None:
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def dry_run(pipeline: Pipeline) -> None:
    """Print what each step reads, writes and whether it is done.

    Raises ValueError, after the table, with everything that would stop the pipeline: an option that can not be parsed,
    and an input that is neither there nor made by an earlier step. Weights are looked for, not read.
    """
    silence_messages()
    checked: list[Checked] = []
    for number in range(len(pipeline.steps)):
        checked.append(check(pipeline.steps, number, [c.step for c in checked if c.state == "done"]))
    print(table(checked))
    wrong = [f"{c.step.name}: {problem}" for c in checked for problem in c.problems]
    if wrong:
        raise ValueError(f"{pipeline.name} can not run as it is:\n  " + "\n  ".join(wrong))
    print(f"{pipeline.name}: all {len(checked)} steps fit together; nothing was run")


def check(steps: Sequence[Step], number: int, done: Sequence[Step]) -> Checked:
    """Step `number`, `done` being those before it that need not run."""
    step, earlier = steps[number], steps[:number]
    try:
        reads = tuple(parsed(step.args))
    except (ValueError, OSError) as error:
        return Checked(step, "wrong", (), (str(error),))
    problems = [f"{name}: {problem}" for name, path in reads if (problem := unmet(path, steps, number, done))]
    sources = [other for other in earlier if any(makes(other, path) for _, path in reads)]
    fresh = all(source in done for source in sources)
    return Checked(step, state_of(step, fresh), reads, tuple(problems))


def unmet(path: Path, steps: Sequence[Step], number: int, done: Sequence[Step]) -> str | None:
    """Why this input of step `number` will not be there when it begins; None when it will."""
    earlier, later = steps[:number], steps[number:]
    before, after = (next((step for step in part if makes(step, path)), None) for part in (earlier, later))
    if before is not None:
        return f"{path} is missing from what {before.name} made" if before in done and not path.exists() else None
    if after is not None:
        return f"{path} is made by {after.name}, which has not run by then; put that step before this one"
    if path.exists():
        return None
    close = difflib.get_close_matches(str(path), [str(step.out) for step in earlier], n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{path} does not exist, and no earlier step makes it{hint}"


def makes(step: Step, path: Path) -> bool:
    return step.out is not None and within(path, step.out)


def state_of(step: Step, fresh: bool) -> str:
    """As `cogrl run` sees it: done, stale (it would be done again) or to do; done only if what it reads is `fresh`."""
    note = step.notes / "step.json"
    before = json.loads(note.read_text()) if note.is_file() else {"done": False}
    if not before["done"] or (step.out is not None and not step.out.exists()):
        return "to do"
    return "done" if fresh and before["digest"] == digest(step.args, step.inputs()) else "stale"


def parsed(args: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Names and paths of what a command reads. Raises ValueError or OSError as the command itself would."""
    command, *rest = args
    if command in STAGE_COMMANDS:
        values = ParsedStage(command, rest).config[command].as_dict()
        for part in ("model", "data"):
            yield from named(values[part], f"{part}.")
    else:
        yield from paths_of(arguments(command, rest))


def named(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Path]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from named(value, prefix if key == "init_args" else f"{prefix}{key}.")
        elif key in _INPUTS and isinstance(value, str) and value not in ("", BASE):
            yield f"{prefix}{key}", Path(value)


def arguments(command: str, words: Sequence[str]) -> argparse.Namespace:
    """What argparse makes of a command line. Raises ValueError with its message instead of leaving the program."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return parser_of(command).parse_args(list(words))
    except SystemExit as end:
        raise ValueError(said.getvalue().strip().rpartition("error: ")[2] or f"cogrl {command} asks for help") from end


def paths_of(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Every path among the options but that of the output, and the folders of policies, NAME=DIR or DIR."""
    for name, value in vars(options).items():
        for item in value if isinstance(value, list) else [value]:
            if name == "policy":
                yield f"--{name}", Path(item.rpartition("=")[2])
            elif isinstance(item, Path) and name != "out":
                yield f"--{name}", item


def table(checked: Sequence[Checked]) -> str:
    """One line a step and, below it, one for each further path that it reads."""
    rows = [("step", "state", "writes", "reads")]
    for c in checked:
        reads = [f"{name.removeprefix('--')} {path}" for name, path in c.reads] or ["-"]
        rows.append((c.step.name, c.state, str(c.step.out or "-"), reads[0]))
        rows += [("", "", "", more) for more in reads[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )
