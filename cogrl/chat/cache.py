"""A cache of answers on disk, so that no request is paid for twice: one SQLite file, safe for several processes."""

import logging
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
_OPEN_S = 5.0  # how long other processes that make the file are waited for
_WAIT_S = 1.0  # and one that is writing to it: no answer is delayed longer


@dataclass(frozen=True)
class CachedAnswer:
    """An answer as it was received, and the tokens it took then."""

    text: str
    tokens_in: int
    tokens_out: int


class AnswerCache:
    """A context manager around `file` (made with its folder when absent). None as file: nothing is kept or found.

    The file must lie on a local disk: SQLite's write-ahead log does not work over a network. Raises OSError for a file
    that is no cache. One that another process blocks, or that fails later, is reported once and left alone: answers
    are still given, but not kept.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> "AnswerCache":
        if self.file is None:
            return self
        self.file.parent.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + _OPEN_S
        while self._db is None:
            try:
                self._db = _opened(self.file)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:  # any kind of busy
                    message = f"{self.file} can not be used as a cache of answers ({error}); name another file"
                    raise OSError(message) from error
                if time.monotonic() > ends:
                    self._give_up(error)
                    break
                time.sleep(0.01)  # several processes that create the file at once can lock each other out
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def get(self, key: str) -> CachedAnswer | None:
        """What was kept under `key`, or None."""
        rows = self._rows("SELECT text, tokens_in, tokens_out FROM answers WHERE key = ?", (key,))
        return CachedAnswer(*rows[0]) if rows else None

    def put(self, key: str, answer: CachedAnswer) -> None:
        """Keeps `answer`; it outlives this process from here on, however the process ends."""
        values = (key, answer.text, answer.tokens_in, answer.tokens_out)
        self._rows("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", values)

    def _rows(self, statement: str, values: Sequence[str | int]) -> list[tuple]:
        if self._db is None:
            return []
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _give_up(self, error: sqlite3.Error) -> None:
        log.warning("%s: answers are not kept (%s)", self.file, error)
        self._close()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _opened(file: Path) -> sqlite3.Connection:
    """A connection to the table of answers, which is made when absent. Raises sqlite3.Error."""
    db = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(key TEXT PRIMARY KEY, text TEXT NOT NULL, tokens_in INTEGER, tokens_out INTEGER) WITHOUT ROWID"
        )
    except sqlite3.Error:
        db.close()
        raise
    return db
