"""What the bytes of an audio file say about its length, whatever its format."""

import io
from dataclasses import dataclass

File = io.FileIO | io.BytesIO
"""An open file without a buffer, or bytes that are read like one."""
REMEDY = "get the file again, or drop it"
CONVERT = "convert it: {ffmpeg}"


@dataclass(frozen=True)
class Contents:
    """What was found in an audio file.

    `problem` is why it can not be decoded completely, None where it can, and `remedy` what to do then; it may hold
    `{ffmpeg}`, the place of a command line. `restored` is the same file with its true length in its header, where the
    header gives none or too small a one: a decoder would stop there.
    """

    problem: str | None = None
    remedy: str = REMEDY
    restored: bytes | None = None


def cut(held: float | int, promised: float | int, unit: str) -> Contents:
    """The contents of a file that holds less than its header promises, both in `unit`."""
    digits = 3 if unit == "s" else 0
    return Contents(f"is cut: holds {held:.{digits}f} of the {promised:.{digits}f} {unit} that its header promises")


def size_of(file: File) -> int:
    """Bytes of an open file."""
    return file.seek(0, 2)


def read_at(file: File, start: int, length: int = -1) -> bytes:
    """`length` bytes from `start`, fewer where the file ends; -1 reads to the end."""
    file.seek(start)
    return file.read(length)


def id3_end(head: bytes) -> int:
    """Where the sound begins: the length of the ID3v2 tag at the start of `head`, 0 where there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)
