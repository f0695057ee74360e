"""Manifests: JSON lines <-> `Example`, and the checks that run before anything is trained."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cogrl.atomic import atomic_write
from cogrl.data.errors import raise_all
from cogrl.data.lazy_examples import LastTurns, LazyExamples
from cogrl.data.line import line_of
from cogrl.data.line_check import check_lines, values_of
from cogrl.data.manifest_file import ManifestFile
from cogrl.types import Example


def read_manifest(path: Path, audio_root: Path | None = None) -> list[Example]:
    """The examples of a JSONL file; audio paths are relative to `audio_root`, by default the manifest's own folder.

    All of them are held in memory, about 5 kB each; `LazyExamples` hold none. Chat markup in `text` and
    `targets`, such as `<|AUDIO|>` or `<sound>`, is escaped (see `escape_markup`): no transcript can forge a control
    token. A byte-order mark is passed over. Raises FileNotFoundError for a missing file and one ValueError with all bad
    lines (at most 20), each as `file:line (id)`.
    """
    file = ManifestFile(path, audio_root)
    check_lines(file)
    return list(LazyExamples(file))


def write_manifest(path: Path, examples: Sequence[Example]) -> None:
    """One JSON line for each example, moved into place when complete; audio paths relative to the manifest's folder."""
    path = Path(path)
    lines = [line_of(example, path.parent) + "\n" for example in examples]
    with atomic_write(path) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf-8")


def check_splits(splits: Mapping[str, Sequence[Example]], disjoint: Sequence[str] = ("text_group", "speaker")) -> None:
    """Raises ValueError, naming both lines, where two splits share a value of a `disjoint` field or a clip.

    Lines without a value of such a field share none.
    """
    errors = []
    for field in (*disjoint, "id", "audio"):
        first: dict[Any, tuple[str, Example]] = {}
        for split, examples in splits.items():
            reported = set()
            for value, example in ((value, one) for one in examples for value in values_of(one, field)):
                key = os.path.abspath(value) if isinstance(value, Path) else value
                owner, earlier = first.setdefault(key, (split, example))
                if owner != split and key not in reported:
                    reported.add(key)
                    errors.append(
                        f"{example.where} ({example.id}): {field} {str(value)!r} of split {split!r} is also in split "
                        f"{owner!r} ({earlier.where}); give each {field} to one split"
                    )
    raise_all(errors)


def with_history(
    examples: Sequence[Example], history: str | None, dialogues: Sequence[int] | None = None
) -> Sequence[Example]:
    """The examples with their earlier turns where `history` is "heard", without any where it is "left_out".

    `dialogues` are the places of those with earlier turns, where they are known. Raises ValueError, naming the first
    line, for dialogues when `history` is None.
    """
    if dialogues is None:
        dialogues = [place for place, example in enumerate(examples) if example.turns]
    if len(dialogues) and history is None:
        first = examples[dialogues[0]]
        raise ValueError(
            f"{first.where} ({first.id}): has {len(first.turns)} earlier turns, as {len(dialogues)} of {len(examples)} "
            "lines do; set data.history (of cogrl evaluate: --history) to 'heard' (all turns) or 'left_out' (the last "
            "turn alone)"
        )
    return LastTurns(examples) if len(dialogues) and history == "left_out" else examples
