"""What a file seems to be by its first bytes, whatever its name says; and what to do with one that is no clip."""

from dataclasses import dataclass

from cogrl.containers.contents import CONVERT

_REMEDY = "it is no audio: get the clip again from where it comes from"
_UNPACK = "unpack it, and name the audio file inside"
_OTHER = "it is no audio: correct the path in the manifest"


@dataclass(frozen=True)
class Kind:
    """A kind of file that is not decoded here. `remedy` may hold `{ffmpeg}`, the place of a command line."""

    name: str
    remedy: str = CONVERT


_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (4, b"ftypM4A", Kind("MPEG-4 audio (m4a)")),
    (4, b"ftypM4B", Kind("an MPEG-4 audio book (m4b)")),
    (4, b"ftypqt", Kind("a QuickTime film (mov)")),
    (4, b"ftyp3g", Kind("a 3GPP recording (3gp)")),
    (4, b"ftyp", Kind("an MPEG-4 file (mp4)")),
    (4, b"moov", Kind("a QuickTime film (mov)")),
    (4, b"mdat", Kind("a QuickTime film (mov)")),
    (0, b"\x1a\x45\xdf\xa3", Kind("a Matroska or WebM file (mkv, webm)")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("Windows Media (wma, wmv)")),
    (0, b"#!AMR", Kind("AMR speech (amr)")),
    (0, b"#!SILK", Kind("SILK speech")),
    (0, b"\x02#!SILK", Kind("SILK speech")),
    (0, b"ADIF", Kind("AAC audio (aac)")),
    (0, b"\x0b\x77", Kind("Dolby AC-3 audio (ac3)")),
    (0, b"MAC ", Kind("Monkey's Audio (ape)")),
    (0, b"wvpk", Kind("WavPack audio (wv)")),
    (0, b"TTA1", Kind("True Audio (tta)")),
    (0, b"MPCK", Kind("Musepack audio (mpc)")),
    (0, b"MP+", Kind("Musepack audio (mpc)")),
    (0, b"DSD ", Kind("DSD audio (dsf)")),
    (0, b"FRM8", Kind("DSD audio (dff)")),
    (0, b"FLV", Kind("Flash video (flv)")),
    (8, b"AVI ", Kind("an AVI film (avi)")),
    (0, b"\x00\x00\x01\xba", Kind("an MPEG film (mpg)")),
    (0, b"MThd", Kind("a MIDI file, notes without sound", _OTHER)),
    (28, b"\x80theora", Kind("an Ogg film (ogv)")),
    (28, b"Speex   ", Kind("Speex speech (spx)")),
    (0, b"PK\x03\x04", Kind("a zip archive", _UNPACK)),
    (0, b"\x1f\x8b", Kind("a gzip file", _UNPACK)),
    (0, b"BZh", Kind("a bzip2 file", _UNPACK)),
    (0, b"\xfd7zXZ", Kind("an xz file", _UNPACK)),
    (0, b"7z\xbc\xaf", Kind("a 7z archive", _UNPACK)),
    (0, b"Rar!", Kind("a rar archive", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a zstandard file", _UNPACK)),
    (257, b"ustar", Kind("a tar archive", _UNPACK)),
    (0, b"version https://git-lfs", Kind("a pointer of Git LFS", "fetch what it points to: git lfs pull")),
    (0, b"/annex/objects", Kind("a pointer of git-annex", "fetch what it points to: git annex get")),
    (0, b"\x93NUMPY", Kind("a NumPy array", "write its samples as audio with soundfile.write")),
    (0, b"PAR1", Kind("a Parquet table", "write the clips in it as files of their own")),
    (0, b"\x89HDF", Kind("an HDF5 file", "write the clips in it as files of their own")),
    (0, b"SQLite format", Kind("an SQLite database", _OTHER)),
    (0, b"%PDF", Kind("a PDF", _OTHER)),
    (0, b"\x89PNG", Kind("a picture (png)", _OTHER)),
    (0, b"\xff\xd8\xff", Kind("a picture (jpeg)", _OTHER)),
    (0, b"GIF8", Kind("a picture (gif)", _OTHER)),
    (8, b"WEBP", Kind("a picture (webp)", _OTHER)),
)
_PAGES = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<?xml", "an XML message"))
HEAD = 512
"""How many bytes `foreign_kind` needs."""


def foreign_kind(head: bytes) -> Kind | None:
    """What a file is that begins with `head`, when it is known not to be decodable; None when it may be."""
    if not head:
        return Kind("an empty file", _REMEDY)
    if not any(head):
        return Kind("nothing but zero bytes, as a download leaves that was broken off", _REMEDY)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    page = next((name for start, name in _PAGES if text.startswith(start)), None)
    if page is not None:
        return Kind(page, _REMEDY)
    if text[:1] in (b"{", b"[") and textual(head):
        return Kind("a JSON message", _REMEDY)
    known = next((kind for place, magic, kind in _MAGIC if head[place:].startswith(magic)), None)
    if known is None and _is_adts(head):
        return Kind("AAC audio (aac)")
    return known


def textual(head: bytes) -> bool:
    """Are these bytes the beginning of a text?"""
    try:
        text = head[: len(head) // 4 * 4].decode("utf-8")
    except UnicodeDecodeError as error:
        text = head[: error.start].decode("utf-8") if error.start > len(head) - 4 else "\0"
    return all(character.isprintable() or character in "\t\r\n" for character in text)


def _is_adts(head: bytes) -> bool:
    """The frames of AAC begin as those of MPEG audio do, with a layer that has no number."""
    return head[:1] == b"\xff" and head[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9")
