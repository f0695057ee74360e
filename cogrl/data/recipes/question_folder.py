"""A folder of questions that are made on this machine: manifests, audio and a card, built once."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cogrl.data import build_folder, manifest
from cogrl.types import Example

REJECTED = "rejected.jsonl"
SPLITS = ("sft", "rl", "val", "test")
"""The manifests of a corpus of which no two share a speaker; others belong to one of them."""


@dataclass(frozen=True)
class Contents:
    """The examples of each manifest, the card, and for what was left out a name and a reason."""

    examples: Mapping[str, Sequence[Example]]
    card: str
    rejected: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Summary:
    """What a build left in `out`; `cached` when it was there already. `audio_s` is the total duration of the clips."""

    out: Path
    questions: dict[str, int]
    audio_s: float
    cached: bool
    seconds: float
    rejected: int = 0


def build_once(title: str, out: Path, recipe: str, names: Sequence[str], make: Callable[[Path], Contents]) -> Summary:
    """What `make(folder)` returns, as manifests `<name>.jsonl` and `CARD.md` beside its `audio/`, in `out`.

    A recipe that can leave out anything lists it in `rejected.jsonl`. `names` are the manifests that any build of this
    corpus has. A folder that holds exactly this build is left as it is; any other build in `out` is replaced, in one
    rename at the end. Raises FileExistsError if `out` holds other files, OSError if it cannot be written.
    """
    out, start = Path(out).absolute(), time.monotonic()
    files = ("audio", *(f"{name}.jsonl" for name in names), "CARD.md", REJECTED)
    cached = build_folder.holds(out, recipe, files)
    if cached:
        print(f"{title} is already in {out}: nothing to do")
    else:
        with build_folder.replacing(out, recipe, files) as folder:
            contents = make(folder)
            for name, rows in contents.examples.items():
                manifest.write_manifest(folder / f"{name}.jsonl", rows)
            (folder / "CARD.md").write_text(contents.card, encoding="utf-8")
            if contents.rejected is not None:
                lines = [{"id": name, "reason": reason} for name, reason in contents.rejected.items()]
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                (folder / REJECTED).write_text(text, encoding="utf-8")
    paths = {name: out / f"{name}.jsonl" for name in names}
    written = {name: manifest.read_manifest(path) for name, path in paths.items() if path.is_file()}
    clips = {row.audio: row.duration_s or 0.0 for rows in written.values() for row in rows}
    counts = {name: len(rows) for name, rows in written.items()}
    rejected = len((out / REJECTED).read_text("utf-8").splitlines()) if (out / REJECTED).is_file() else 0
    return Summary(out, counts, sum(clips.values()), cached, time.monotonic() - start, rejected)


def recipe_of(facts: object, files: Iterable[str | None]) -> str:
    """Hash of all that decides the content: `facts`, by their repr, and the bytes of the code `files`."""
    recipe = hashlib.sha256(repr(facts).encode())
    for file in files:
        recipe.update(Path(str(file)).read_bytes())
    return recipe.hexdigest()


def hashed_id(*names: object) -> str:
    """16 hex digits that say nothing about what they name."""
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:16]
