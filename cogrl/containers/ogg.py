"""Ogg (Vorbis, Opus, FLAC): a stream ends with a page that says so. (RFC 3533)"""

from collections.abc import Iterator
from dataclasses import dataclass

from cogrl.containers.contents import CONVERT, Contents, File, read_at

_BEGIN, _END = 0x02, 0x04
_NO_PACKET_ENDS = 2**64 - 1


@dataclass(frozen=True)
class Page:
    """`granule` is the number of samples up to its end; `size` counts the head, also where the file ends earlier."""

    start: int
    size: int
    flags: int
    granule: int
    serial: bytes
    packet: bytes


def ogg_contents(file: File) -> Contents:
    """What an Ogg file holds. A file of several streams is a problem: a decoder stops after the first."""
    data = read_at(file, 0)
    pages = list(_pages(data))
    streams = sum(bool(page.flags & _BEGIN) for page in pages)
    first = [page for page in pages if page.serial == pages[0].serial]
    whole = [page for page in first if page.start + page.size <= len(data)]
    rate, skipped = _clock(first[0].packet)
    ends = [page.granule for page in whole if page.granule != _NO_PACKET_ENDS]
    held = f"{max(0, ends[-1] - skipped) / rate:.3f} s" if rate and ends else f"{len(data)} bytes"
    if streams > 1:
        return Contents(f"holds {streams} Ogg streams, of which only the first ({held}) would be heard", CONVERT)
    if not any(page.flags & _END for page in whole):
        return Contents(f"is cut: holds {held} and then ends without the page that ends an Ogg stream")
    return Contents()


def _pages(data: bytes) -> Iterator[Page]:
    place = 0
    while data[place : place + 4] == b"OggS" and place + 27 <= len(data):
        segments = data[place + 26]
        body = place + 27 + segments
        size = 27 + segments + sum(data[place + 27 : body])
        granule = int.from_bytes(data[place + 6 : place + 14], "little")
        yield Page(place, size, data[place + 5], granule, data[place + 14 : place + 18], data[body : body + 32])
        place += size


def _clock(packet: bytes) -> tuple[int | None, int]:
    """Granules a second, and how many of them come before the sound, by the first packet of a stream."""
    if packet[:7] == b"\x01vorbis":
        return int.from_bytes(packet[12:16], "little") or None, 0
    if packet[:8] == b"OpusHead":
        return 48_000, int.from_bytes(packet[10:12], "little")
    return None, 0
