"""What is known of audio files that were opened before: kept as one table, looked up by path, valid while they stay.

The files themselves are opened in `cogrl.audio`.
"""

import os
import zipfile
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

import numpy as np

from cogrl.atomic import atomic_write
from cogrl.hash64 import hash64

FACTS = np.dtype(
    [
        ("key", "u8"),
        ("bytes", "i8"),
        ("changed_ns", "i8"),
        ("frames", "i8"),
        ("sampling_rate", "i4"),
        ("channels", "i4"),
        ("seen", "i4"),
    ]
)
"""One file: a hash of its path, the size and time of change it had, its form, and how much of it was `Seen`."""


class Seen(IntEnum):
    """How closely a file was looked at. No setting of a run is part of it."""

    HEADER = 0
    """Its form and length are known; the sound was not decoded."""
    AUDIBLE = 1
    """All of it was decoded, is within the scale and not silent."""
    SILENT = 2
    """All of it was decoded and is within the scale; it is silent."""


class AudioFacts:
    """A growing table of `FACTS` (n,), sorted by key: 44 bytes a file.

    Paths within `folder` are known by where they lie in it: a corpus that is moved as a whole is known there. Of two
    paths that shared a key, the size and time of change would still differ.
    """

    def __init__(self, folder: Path, rows: np.ndarray | None = None) -> None:
        self.folder, self.prefix = folder, f"{folder}{os.sep}"
        self.rows = np.zeros(0, FACTS) if rows is None else rows
        self.keys = np.ascontiguousarray(self.rows["key"])

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, path: Path) -> int:
        """The key of a path."""
        return hash64(os.fsencode(str(path).removeprefix(self.prefix)))

    def find(self, path: Path) -> np.void | None:
        """The row of a path, whatever has become of the file since; None for one that is not in the table."""
        key = np.uint64(self.key(path))
        place = int(np.searchsorted(self.keys, key))
        return self.rows[place] if place < len(self.keys) and self.keys[place] == key else None

    def current(self, path: Path, stamp: tuple[int, int] | None) -> np.void | None:
        """The row of a path where its file still has this size and time of change."""
        row = self.find(path)
        return row if row is not None and stamp == (row["bytes"], row["changed_ns"]) else None

    def row(self, path: Path, stamp: tuple[int, int], frames: int, sampling_rate: int, channels: int) -> np.void:
        """The row of a file of which the header was seen."""
        return np.array((self.key(path), *stamp, frames, sampling_rate, channels, Seen.HEADER), dtype=FACTS)[()]

    def stamp(self, path: Path) -> tuple[int, int] | None:
        """Size in bytes and time of change in ns when the file was looked at; None for an unknown one."""
        row = self.find(path)
        return None if row is None else (int(row["bytes"]), int(row["changed_ns"]))

    def add(self, rows: np.ndarray) -> None:
        """Take up `rows` (k,), in any order; the last one of a key takes the place of the others."""
        known = np.isin(rows["key"], self.keys)
        self.rows[np.searchsorted(self.keys, rows["key"][known])] = rows[known]
        if known.all():
            return
        newest = np.concatenate([self.rows, rows[~known]])[::-1]
        _, places = np.unique(newest["key"], return_index=True)
        self.rows = newest[places]
        self.keys = np.ascontiguousarray(self.rows["key"])

    def save(self, path: Path, rules: str) -> None:
        """Write the table, whole or not at all; `rules` says by which rules files were looked at. Raises OSError."""
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, rules=np.array(rules), rows=self.rows)

    @classmethod
    def load(cls, path: Path, folder: Path, rules: str) -> "AudioFacts":
        """A saved table; an empty one where there is none, where it was made by other rules or can not be read."""
        try:
            with np.load(path, allow_pickle=False) as saved:
                found: Mapping[str, np.ndarray] = {name: saved[name] for name in ("rules", "rows")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return cls(folder)
        same = str(found["rules"]) == rules and found["rows"].dtype == FACTS
        return cls(folder, found["rows"]) if same else cls(folder)
