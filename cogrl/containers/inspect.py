"""The one look at an audio file before it is decoded: by its content, never by its name."""

from cogrl.containers.chunks import LAYOUTS, au_contents, chunk_contents
from cogrl.containers.contents import CONVERT, Contents, File, id3_end, read_at, size_of
from cogrl.containers.flac import flac_contents
from cogrl.containers.kinds import HEAD, foreign_kind, textual
from cogrl.containers.mpeg import mpeg_contents
from cogrl.containers.ogg import ogg_contents


def contents_of(file: File) -> Contents:
    """Whether the file seems complete and decodable; an unknown format has no problem. Leaves the file at its start.

    Ogg and MP3 files are read whole (2 to 20 kB a second of sound), of all others a few hundred bytes, of FLAC the
    last 128 kB too.
    """
    start = id3_end(read_at(file, 0, 10))
    head = read_at(file, start, HEAD)
    kind = foreign_kind(head)
    if kind is not None:
        said = f", {head[:60].decode(errors='replace')!r}" if head and kind.remedy != CONVERT and textual(head) else ""
        return Contents(f"cannot be decoded ({size_of(file)} bytes): seems to be {kind.name}{said}", kind.remedy)
    contents, magic = Contents(), head[:4]
    if magic in LAYOUTS and start == 0:
        contents = chunk_contents(file, magic)
    elif magic == b".snd":
        contents = au_contents(file)
    elif magic == b"OggS":
        contents = ogg_contents(file)
    elif magic == b"fLaC":
        contents = flac_contents(file, start)
    elif head[:1] == b"\xff":
        contents = mpeg_contents(file, start)
    file.seek(0)
    return contents
