"""What a whole check has passed, kept beside the manifest: while nothing has changed no line is parsed again."""

import hashlib
import os
import warnings
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic

import cogrl
from cogrl.atomic import atomic_write
from cogrl.audio_facts import AudioFacts
from cogrl.data.in_parallel import MANY, in_parallel
from cogrl.data.line_check import SHARED_FIELDS, LineKeys
from cogrl.data.manifest_file import ManifestFile

SUFFIX = ".passed.npz"
_ROOMS = ("audio.py", "audio_facts.py", "hash64.py", "types", "formats", "containers", "data")


class Passed(NamedTuple):
    """What the check of a manifest's lines has found, and the facts of its audio files."""

    keys: LineKeys
    facts: AudioFacts


def passed_before(file: ManifestFile, settings: str, facts: AudioFacts) -> Passed | None:
    """What an earlier check under these `settings` has passed, where manifest and audio files are what they were.

    `facts` are what is remembered of the files; only the size and time of change of each are looked at now. None where
    anything is another, or nothing is kept.
    """
    try:
        with np.load(_place(file), allow_pickle=False) as saved:
            kept = {name: saved[name] for name in saved.files}
        if str(kept["of"]) != _of(file, settings):
            return None
        names = kept["names"].tobytes().split(b"\0")
        rows = kept["rows"]
        keys = {field: kept[f"keys.{field}"] for field in SHARED_FIELDS}
        places = {field: kept[f"places.{field}"] for field in SHARED_FIELDS}
        found = LineKeys(keys, places, kept["dialogues"].tolist(), {})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    stamps = in_parallel(partial(_stamps, file.path.parent, names), len(names), "look at audio files", "file")
    now = np.concatenate(list(stamps))
    same = np.array_equal(now[:, 0], rows["bytes"]) and np.array_equal(now[:, 1], rows["changed_ns"])
    if not same:
        return None
    facts.add(rows)
    return Passed(found, facts)


def keep_passed(file: ManifestFile, settings: str, keys: LineKeys, paths: Sequence[Path], facts: AudioFacts) -> None:
    """Keeps that a check has passed all lines and all of `paths`; not for fewer than 2,000 lines, found in seconds.

    Warns where the folder can not be written.
    """
    if len(file) < MANY:
        return
    names = [os.fsencode(str(path).removeprefix(f"{file.path.parent}{os.sep}")) for path in paths]
    arrays = {f"keys.{field}": keys.keys[field] for field in SHARED_FIELDS}
    arrays |= {f"places.{field}": keys.places[field] for field in SHARED_FIELDS}
    arrays |= {"dialogues": np.array(keys.dialogues, dtype=np.int64), "of": np.array(_of(file, settings))}
    arrays |= {"names": np.frombuffer(b"\0".join(names), dtype=np.uint8)}
    arrays |= {"rows": facts.rows[np.searchsorted(facts.keys, np.array([*map(facts.key, paths)], dtype=np.uint64))]}
    try:
        with atomic_write(_place(file)) as unfinished, unfinished.open("wb") as kept:
            np.savez(kept, **arrays)
    except OSError as error:
        warnings.warn(
            f"{_place(file)} can not be written ({error}): the next start checks all {len(file)} lines once more; make "
            "the folder writable",
            stacklevel=2,
        )


def _place(file: ManifestFile) -> Path:
    return file.path.with_name(file.path.name + SUFFIX)


def _of(file: ManifestFile, settings: str) -> str:
    """What a kept check is of: content, folder (whose clips are told apart by their paths), settings, and the code."""
    root = Path(cogrl.__file__).parent
    sources = [
        path for room in _ROOMS for path in sorted([root / room, *(root / room).rglob("*.py")]) if path.is_file()
    ]
    code = hashlib.blake2b(b"\0".join(path.read_bytes() for path in sources), digest_size=8).hexdigest()
    return f"{file.digest} {os.path.abspath(file.audio_root)} {code} {pydantic.VERSION} {settings}"


def _stamps(folder: Path, names: Sequence[bytes], part: range) -> np.ndarray:
    """Size and time of change (k, 2) of each file, -1 for one that is not there."""
    root, found = os.fsencode(folder), np.full((len(part), 2), -1, dtype=np.int64)
    for row, place in enumerate(part):
        try:
            status = os.stat(os.path.join(root, names[place]))
            found[row] = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):
            continue
    return found
