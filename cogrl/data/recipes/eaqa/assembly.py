"""From scenes to the manifests of a corpus: clips by several processes, and the checks of what they hold."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cogrl.data.manifest import check_splits
from cogrl.data.recipes.eaqa.item import Scene
from cogrl.data.recipes.eaqa.routing import MANIFESTS, routed
from cogrl.data.recipes.eaqa.thoughts import ThoughtWriter
from cogrl.data.recipes.question_folder import SPLITS
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.formats.echo import ECHO
from cogrl.progress import progress
from cogrl.types import Example

_FEW = 64
"""So many clips are made before another process has started."""


def rendered(
    scenes: Sequence[Scene], folder: Path, render: Callable[[Scene], list[Example]], workers: int | None
) -> list[Example]:
    """The lines of all scenes, whose clips lie below `folder` afterwards; by `workers` processes, default all cores."""
    for prefix in {scene.id[:2] for scene in scenes}:
        (folder / "audio" / prefix).mkdir(parents=True)
    bar = {"desc": "EAQA", "total": len(scenes), "unit": "clip"}
    workers = workers or (1 if len(scenes) <= _FEW else os.cpu_count() or 1)
    if workers == 1:
        return [line for lines in progress(map(render, scenes), **bar) for line in lines]
    with EmbeddedSynthesiser("numpy").pool(workers) as pool:
        return [line for lines in progress(pool.map(render, scenes, chunksize=16), **bar) for line in lines]


def assembled(rows: Sequence[Example], writer: ThoughtWriter) -> tuple[dict[str, list[Example]], dict[str, str], str]:
    """(lines by manifest, in the order of their ids; reasons of those left out, by id; what the thoughts took).

    Lines with a target `echo` are routed by two flags, see `routing`. Raises ValueError where two of sft, rl, val and
    test share something or nothing is left, and ConnectionError when thoughts did not come.
    """
    rows = sorted(rows, key=lambda row: row.id)
    made = writer.write([row for row in rows if ECHO.name in row.targets])
    manifests, rejected = routed([made.rows.get(row.id, row) for row in rows], made.flags)
    if not manifests:
        first, reason = next(iter(rejected.items()))
        raise ValueError(f"every line was rejected, such as {first}: {reason}")
    check_splits({name: manifests[name] for name in SPLITS if name in manifests})
    return {name: manifests[name] for name in MANIFESTS if name in manifests}, rejected, made.report
