"""Files of chunks (WAV, RF64, W64, AIFF, CAF) and AU: the size of the sound that is promised against what is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cogrl.containers.contents import Contents, File, cut, read_at, size_of

_UNKNOWN = 0x7FFFF000
"""A program that writes to a pipe can not know the size and puts 0, this number (sox) or a larger one (ffmpeg)."""
_UNCLAIMED_S = 0.5


@dataclass(frozen=True)
class Layout:
    """Where the chunks of a format begin, and the form of their heads: a name, then a size."""

    start: int
    order: Literal["little", "big"]
    name_bytes: int = 4
    size_bytes: int = 4
    size_counts_head: bool = False
    align: int = 2


@dataclass(frozen=True)
class Chunk:
    """`start` is where the chunk's own bytes begin; `size` is what its head says of them."""

    name: bytes
    start: int
    size: int


LAYOUTS = {
    b"RIFF": Layout(12, "little"),
    b"RIFX": Layout(12, "big"),
    b"RF64": Layout(12, "little"),
    b"BW64": Layout(12, "little"),
    b"FORM": Layout(12, "big"),
    b"riff": Layout(40, "little", name_bytes=16, size_bytes=8, size_counts_head=True, align=8),
    b"caff": Layout(8, "big", size_bytes=8, align=1),
}
"""By the first four bytes of a file."""


def chunk_contents(file: File, magic: bytes) -> Contents:
    """What a file of chunks holds. One whose size was not known when it was written holds what is there."""
    layout, end = LAYOUTS[magic], size_of(file)
    chunks = list(_chunks(file, layout, end))
    data = next((chunk for chunk in chunks if chunk.name[:4] in (b"data", b"SSND")), None)
    if data is None:
        return Contents()
    there, promised = end - data.start, data.size
    if magic in (b"RF64", b"BW64") and promised == 0xFFFFFFFF:
        sizes = next((chunk for chunk in chunks if chunk.name == b"ds64"), data)
        promised = int.from_bytes(read_at(file, sizes.start + 8, 8), "little")
    rate = _bytes_a_second(file, chunks, layout)
    if promised == 0 and data is chunks[-1] and there > 0:
        return Contents(restored=_with_size(file, data, there, layout))
    if promised > there:
        unknown = (promised >= _UNKNOWN and layout.size_bytes == 4) or promised >= 2**63
        return Contents() if unknown else _cut(there, promised, rate)
    unclaimed = end - max(chunk.start + chunk.size for chunk in chunks)
    if rate and unclaimed > _UNCLAIMED_S * rate:
        return Contents(
            f"holds {unclaimed / rate:.3f} s of something behind the {promised / rate:.3f} s of sound that its header "
            "promises"
        )
    return Contents()


def au_contents(file: File) -> Contents:
    """The same for AU, which has one head and no chunks."""
    head = read_at(file, 4, 8)
    start, promised = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    there = size_of(file) - start
    return _cut(there, promised, None) if there < promised < _UNKNOWN else Contents()


def _chunks(file: File, layout: Layout, end: int) -> Iterator[Chunk]:
    place, head = layout.start, layout.name_bytes + layout.size_bytes
    while place + head <= end:
        found = read_at(file, place, head)
        name, size = found[: layout.name_bytes], int.from_bytes(found[layout.name_bytes :], layout.order)
        size -= head if layout.size_counts_head else 0
        if size < 0 or not name[:4].isascii() or not name[:4].decode("ascii").isprintable():
            return
        yield Chunk(name, place + head, size)
        place += head + size + -size % layout.align


def _bytes_a_second(file: File, chunks: list[Chunk], layout: Layout) -> int | None:
    """Of a WAV, RF64 or W64; None for the others."""
    form = next((chunk for chunk in chunks if chunk.name[:4] == b"fmt "), None)
    return None if form is None else int.from_bytes(read_at(file, form.start + 8, 4), layout.order) or None


def _cut(there: int, promised: int, rate: int | None) -> Contents:
    return cut(there / rate, promised / rate, "s") if rate else cut(there, promised, "bytes")


def _with_size(file: File, data: Chunk, size: int, layout: Layout) -> bytes:
    whole = bytearray(read_at(file, 0))
    size = min(size, 2 ** (8 * layout.size_bytes) - 1)
    whole[data.start - layout.size_bytes : data.start] = size.to_bytes(layout.size_bytes, layout.order)
    return bytes(whole)
