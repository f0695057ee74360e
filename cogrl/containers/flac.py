"""FLAC: the number of samples in the stream information against the number of the last frame. (RFC 9639)"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from cogrl.containers.contents import Contents, File, cut, read_at, size_of

_TAIL = 1 << 17
"""Bytes looked at where the stream information does not say how long a frame can be."""

_BLOCKS = {1: 192} | {code: 576 << code - 2 for code in range(2, 6)} | {code: 256 << code - 8 for code in range(8, 16)}


@dataclass(frozen=True)
class StreamInfo:
    """What the first block of a file says; `samples` is 0 where it was not known."""

    block: int
    longest_frame: int
    rate: int
    samples: int


def flac_contents(file: File, start: int) -> Contents:
    """What a FLAC file holds whose signature is at `start`: behind a tag, where a decoder can not seek, or at 0."""
    head = read_at(file, start + 8, 34)
    if len(head) < 34:
        return Contents()
    packed = int.from_bytes(head[10:18], "big")
    info = StreamInfo(
        int.from_bytes(head[2:4], "big"), int.from_bytes(head[7:10], "big"), packed >> 44, packed & (2**36 - 1)
    )
    end = size_of(file)
    tail = read_at(file, max(start + 42, end - max(_TAIL, 2 * info.longest_frame)))
    held = _samples_held(tail, info)
    if held is not None and info.rate and held < info.samples:
        return cut(held / info.rate, info.samples / info.rate, "s")
    if start == 0 and held in (None, info.samples):
        return Contents()
    whole = bytearray(read_at(file, start))
    whole[18:26] = (packed & ~(2**36 - 1) | (held or info.samples)).to_bytes(8, "big")
    return Contents(restored=bytes(whole))


def _samples_held(tail: bytes, info: StreamInfo) -> int | None:
    """Samples up to the end of the last frame that begins in `tail`; None where that can not be told.

    Sound can look like the head of a frame. So one counts only where another frame, whole by its checksum of 16 bits,
    ends where it begins, or as the only one of a file.
    """
    later: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, first, end in _frames(tail, info):
        for behind, held in later[end]:
            if _crc16(tail[place : behind - 2]) == int.from_bytes(tail[behind - 2 : behind], "big"):
                return held
        later[first].append((place, end))
    return later[0][-1][1] if later[0] else None


def _frames(tail: bytes, info: StreamInfo) -> Iterator[tuple[int, int, int]]:
    """Place, first sample and end of each frame that may begin in `tail`, the last one first."""
    place = len(tail)
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        found = _frame(tail[place : place + 16], info)
        if found is not None:
            yield place, *found


def _frame(head: bytes, info: StreamInfo) -> tuple[int, int] | None:
    """First sample and end of a frame by its head; None for bytes that are none.

    Its checksum has 8 bits, so fields that can not be are looked at, too.
    """
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
        return None
    length = _utf8_length(head[4])
    place = 4 + length
    if length == 0 or place + 3 > len(head):
        return None
    number = head[4] & (0x7F if length == 1 else 0x7F >> length)
    for byte in head[5:place]:
        number = number << 6 | byte & 0x3F
    code = head[2] >> 4
    block = _BLOCKS.get(code, 0)
    if not block:  # written out behind the number, less one
        block = int.from_bytes(head[place : place + code - 5], "big") + 1
        place += code - 5
    place += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return None
    first = number if head[1] & 1 else number * info.block
    return first, first + block


def _utf8_length(byte: int) -> int:
    """Bytes of a number that begins with `byte`; 0 where none does."""
    ones = 8 - (byte ^ 0xFF).bit_length()
    return 1 if ones == 0 else ones if 2 <= ones <= 7 else 0


def _remainders(bits: int, polynomial: int) -> tuple[int, ...]:
    """What each byte adds to a checksum of so many bits."""
    found = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 else 0)
        found.append(value)
    return tuple(found)


_CRC8, _CRC16 = _remainders(8, 0x107), _remainders(16, 0x18005)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 8 & 0xFFFF ^ _CRC16[value >> 8 ^ byte]
    return value
