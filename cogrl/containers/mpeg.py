"""MPEG audio (MP3): its frames are counted, one head after the other, and held against the Xing or VBRI header."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from cogrl.containers.contents import Contents, File, cut, id3_end, read_at

_RATES = (44_100, 48_000, 32_000)
_KBIT = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by (version, layer); 2 stands for MPEG 2 and 2.5."""
_FURTHEST = 1 << 16
"""How far into a file the first frame may be."""
_VBRI = 36
"""Where in a frame a VBRI header stands."""


@dataclass(frozen=True)
class Shape:
    """What the four bytes at its head say of a frame; `samples` are those of one channel."""

    size: int
    samples: int
    rate: int
    layer: int
    mono: bool


Frame = tuple[int, Shape]
"""Where a frame begins, and its shape."""


def mpeg_contents(file: File, start: int) -> Contents:
    """What an MPEG audio file holds whose sound begins at `start`, behind its ID3v2 tag.

    A header that promises more is a problem, as is a last frame that is not whole where there is no header. Where a
    header is missing or promises less, `restored` has one that tells the number of frames.
    """
    data = read_at(file, start)
    frames = list(_frames(data))
    if not frames:
        return Contents()
    (first, shape), (last, shape_of_last) = frames[0], frames[-1]
    broken = last + shape_of_last.size > len(data)
    promised = _promised(data, first, shape)
    audio_frames = frames[promised is not None : len(frames) - broken]
    seconds = shape.samples / shape.rate
    # some encoders count the header's own frame
    if promised is not None and len(audio_frames) + (not broken) < promised:
        return cut(len(audio_frames) * seconds, promised * seconds, "s")
    if broken and (promised is None or not audio_frames):
        return Contents(f"is cut: holds {len(audio_frames) * seconds:.3f} s and ends within a frame")
    believed = promised == len(audio_frames) and not data.startswith(b"VBRI", first + _VBRI)  # decoders pass VBRI over
    if believed or shape.layer != 3:
        return Contents()
    (begin, shape), (last, shape_of_last) = audio_frames[0], audio_frames[-1]
    sound = data[begin : last + shape_of_last.size]
    return Contents(restored=_header(data[begin : begin + 4], shape, len(audio_frames)) + sound)


def _frames(data: bytes) -> Iterator[Frame]:
    """Frame after frame, the last one also where the file ends within it; what lies between them is passed over."""
    place, kind, in_step = 0, None, False
    while True:
        shape = _shape(data[place : place + 4])
        known = shape is not None and kind in (None, (shape.rate, shape.layer))
        if known and (in_step or _follows(data, place, shape)):
            yield place, shape
            place, kind, in_step = place + shape.size, (shape.rate, shape.layer), True
            continue
        tag, in_step = data[place : place + 8], False
        if kind is not None and (tag[:3] == b"TAG" or tag == b"APETAGEX"):
            return
        place = place + id3_end(data[place : place + 10]) if tag[:3] == b"ID3" else data.find(b"\xff", place + 1)
        if place < 0 or (kind is None and place > _FURTHEST):
            return


@functools.lru_cache(maxsize=1024)
def _shape(head: bytes) -> Shape | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    family = 1 if version == 3 else 2
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and family == 2 else 1152
    slot = 4 if layer == 1 else 1
    slots = samples // 8 * _KBIT[family, layer][bits] * 1000 // (slot * hertz) + (head[2] >> 1 & 1)
    return Shape(slots * slot, samples, hertz, layer, head[3] >> 6 == 3)


def _follows(data: bytes, place: int, shape: Shape) -> bool:
    """Does a frame, a tag or the end of the file follow? Four bytes alone can look like a head."""
    after = data[place + shape.size : place + shape.size + 8]
    if len(after) < 4 or after[:3] in (b"TAG", b"ID3") or after == b"APETAGEX":
        return True
    following = _shape(after[:4])
    return following is not None and (following.rate, following.layer) == (shape.rate, shape.layer)


def _promised(data: bytes, place: int, shape: Shape) -> int | None:
    """The number of frames in the Xing, Info or VBRI header that this frame is; None where it is sound."""
    xing, vbri = place + 4 + _side_bytes(shape), place + _VBRI
    if data[xing : xing + 4] in (b"Xing", b"Info"):
        counted = data[xing + 7] & 1
        return int.from_bytes(data[xing + 8 : xing + 12], "big") if counted else 0
    return int.from_bytes(data[vbri + 14 : vbri + 18], "big") if data[vbri : vbri + 4] == b"VBRI" else None


def _side_bytes(shape: Shape) -> int:
    return (17 if shape.mono else 32) if shape.samples == 1152 else (9 if shape.mono else 17)


def _header(head: bytes, shape: Shape, count: int) -> bytes:
    """An Info header for `count` frames like the one of `head`, at a bit rate at which it has room."""
    own = bytes([0xFF, head[1] | 1, 0x90 | head[2] & 0x0C, head[3]])
    content = own + bytes(_side_bytes(shape)) + b"Info" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return content.ljust(_shape(own).size, b"\0")
