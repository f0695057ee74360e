"""The check of all lines of a manifest, and hashes of what lines must not share: 60 bytes a line, whatever is in it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cogrl.data.errors import raise_all
from cogrl.data.in_parallel import in_parallel
from cogrl.data.manifest_file import ManifestFile
from cogrl.hash64 import hash64
from cogrl.types import Example

SHARED_FIELDS = ("text_group", "speaker", "id", "audio")


@dataclass(frozen=True)
class LineKeys:
    """What the check of the lines of a manifest, or of a part of it, has found.

    `keys[field]` are 64-bit hashes of the values of a field, k of them, and `places[field]` (k,) says which line each
    is of; a line without a value has none, and one with clips of earlier turns has several of `audio`. `dialogues` are
    the places of the lines with earlier turns, `errors` the lines that are refused, by place.
    """

    keys: Mapping[str, np.ndarray]
    places: Mapping[str, np.ndarray]
    dialogues: list[int]
    errors: Mapping[int, str]


def check_lines(file: ManifestFile) -> LineKeys:
    """Parses and checks every line, in several processes when there are many.

    Raises one ValueError with all bad lines (at most 20), each as `file:line (id): what is wrong`; an id that comes
    twice is one. Raises ValueError for a manifest without lines.
    """
    if not len(file):
        raise ValueError(
            f"{file.path}: holds no examples; rebuild it with: cogrl build lime-mini --out {file.path.parent}"
        )
    found = _joined(list(in_parallel(partial(_part, file), len(file), f"check of {file.path.name}", "line")))
    errors = {**found.errors, **dict(_repeated_ids(file, found))}
    raise_all([errors[place] for place in sorted(errors)])
    return found


def lines_in_two(
    files: Mapping[str, ManifestFile], found: Mapping[str, LineKeys], disjoint: Sequence[str]
) -> dict[str, list[Example]]:
    """Of each split the examples that seem to share a `disjoint` field, an id or a clip with another one.

    Only their hashes were compared; `check_splits` compares the values.
    """
    places: dict[str, set[int]] = {split: set() for split in files}
    for field in (*disjoint, "id", "audio"):
        for split, own in found.items():
            others = [other.keys[field] for name, other in found.items() if name != split]
            shared = np.isin(own.keys[field], np.concatenate(others)) if others else np.zeros(0, dtype=np.int64)
            places[split].update(own.places[field][shared].tolist())
    return {split: [file.known(place) for place in sorted(places[split])] for split, file in files.items()}


def _part(file: ManifestFile, part: range) -> LineKeys:
    keys: dict[str, list[int]] = {field: [] for field in SHARED_FIELDS}
    places: dict[str, list[int]] = {field: [] for field in SHARED_FIELDS}
    dialogues, errors = [], {}
    root = os.path.abspath(file.audio_root)
    for place in part:
        try:
            record = file.checked(place)
        except ValueError as error:
            errors[place] = str(error)
            continue
        turns = record.get("turns", [])
        values = {field: [record[field]] for field in SHARED_FIELDS if field in record}
        values["audio"] = [_joined_path(root, said["audio"]) for said in (record, *turns) if said["audio"]]
        for field, shared in values.items():
            keys[field] += map(_key, shared)
            places[field] += [place] * len(shared)
        if turns:
            dialogues.append(place)
    return LineKeys(
        {field: np.array(found, dtype=np.uint64) for field, found in keys.items()},
        {field: np.array(found, dtype=np.int64) for field, found in places.items()},
        dialogues,
        errors,
    )


def values_of(example: Example, field: str) -> Iterator[Any]:
    """The value of a field, if any; for `audio` also the clips of the earlier turns."""
    if getattr(example, field):
        yield getattr(example, field)
    if field == "audio":
        yield from (turn.audio for turn in example.turns if turn.audio)


def _joined_path(root: str, audio: str) -> str:
    """The same for all ways to write one path, and for a folder by its whole and by its relative name."""
    return os.path.normpath(os.path.join(root, audio))


def _key(text: str) -> int:
    return hash64(text.encode("utf-8", "surrogatepass"))


def _joined(parts: Sequence[LineKeys]) -> LineKeys:
    return LineKeys(
        {field: np.concatenate([part.keys[field] for part in parts]) for field in SHARED_FIELDS},
        {field: np.concatenate([part.places[field] for part in parts]) for field in SHARED_FIELDS},
        [place for part in parts for place in part.dialogues],
        {place: error for part in parts for place, error in part.errors.items()},
    )


def _repeated_ids(file: ManifestFile, found: LineKeys) -> Iterator[tuple[int, str]]:
    """The places of lines whose id an earlier line has, and what to say of them."""
    keys, places = found.keys["id"], found.places["id"]
    _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
    earlier = firsts[groups]
    for here in np.flatnonzero(earlier != np.arange(len(keys))):
        first, example = file.known(int(places[earlier[here]])), file.known(int(places[here]))
        if first.id == example.id:
            where = f"{example.where} ({example.id})"
            yield int(places[here]), f"{where}: duplicate id {example.id!r}, first at {first.where}"
