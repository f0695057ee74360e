"""A manifest as a file: its lines are read and parsed one by one, when they are asked for."""

import codecs
import hashlib
import os
from array import array
from pathlib import Path
from typing import Any

from cogrl.audio import file_stamp
from cogrl.data.line import checked_record, parse_checked_line
from cogrl.data.text_file import refuse_utf16
from cogrl.types import Example


class ManifestFile:
    """Where each line of a JSONL file begins: 16 bytes a line in a process, whatever stands in it.

    Blank lines and a byte-order mark are passed over; `digest` is a hash of the content. A file that is
    replaced meanwhile is still read as it was; a copy in another process refuses one that has changed.

    Args:
        path: the manifest.
        audio_root: what audio paths are relative to; None: the manifest's own folder.

    Raises FileNotFoundError for a missing file and ValueError for one in UTF-16.
    """

    def __init__(self, path: Path, audio_root: Path | None = None) -> None:
        self.path, self.audio_root = Path(path), audio_root or Path(path).parent
        if not self.path.is_file():
            raise FileNotFoundError(
                f"manifest {path} is missing; make the embedded corpus with: "
                f"cogrl build lime-mini --out {self.path.parent}"
            )
        self.stamp = file_stamp(self.path)
        self.file = self.path.open("rb")
        self.numbers, self.bounds = array("q"), array("q")
        self._find_lines()

    def _find_lines(self) -> None:
        head = self.file.read(4)
        refuse_utf16(self.path, head)
        content = hashlib.blake2b(digest_size=16)
        offset = self.file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
        for number, line in enumerate(self.file, start=1):
            content.update(line)
            if line.strip():
                self.numbers.append(number)
                self.bounds.append(offset)
            offset += len(line)
        self.bounds.append(offset)
        self.digest = content.hexdigest()

    def __len__(self) -> int:
        return len(self.numbers)

    def checked(self, place: int) -> dict[str, Any]:
        """What stands in a line, every field checked. Raises ValueError, `file:line (id): what is wrong`."""
        return checked_record(self.line(place), self.where(place))

    def known(self, place: int) -> Example:
        """The example of a line that was `checked` before."""
        return parse_checked_line(self.line(place), self.where(place), self.audio_root)

    def line(self, place: int) -> bytes:
        """The bytes of a line without its end. IndexError beyond the last one."""
        start, end = self.bounds[range(len(self))[place]], self.bounds[range(len(self))[place] + 1]
        return os.pread(self.file.fileno(), end - start, start).rstrip()  # blank lines may follow

    def where(self, place: int) -> str:
        """`file:line`."""
        return f"{self.path}:{self.numbers[place]}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.file = self.path.open("rb")
        if file_stamp(self.path) != self.stamp:
            raise ValueError(f"{self.path}: has changed since it was opened; start once more with a file that stays")
