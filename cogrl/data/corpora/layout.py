"""What lies in the folders of a corpus, under the names that releases and the scripts around them give it."""

import re
from itertools import islice
from pathlib import Path

VALIDATION = ("dev", "val", "valid", "validation", "development")
"""What releases and their scripts call the split that is `val` here, in lower case."""
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
"""What clips may be stored as, the preferred one first; in any case."""


def in_any_case(pattern: str) -> str:
    """The glob pattern with every letter in both cases; some file systems distinguish case."""
    both = lambda match: f"[{match[0].strip('[]').lower()}{match[0].strip('[]').upper()}]"
    return re.sub(r"\[[^\]]*\]|[A-Za-z]", both, pattern)


def files(folder: Path, *suffixes: str, below: bool = False) -> list[Path]:
    """The files with one of the `suffixes`, in any case, sorted; `below` looks into sub-folders, too.

    Hidden files are passed over: archives made on a Mac hold a `._name` beside each name.
    """
    found = (folder.rglob("*") if below else folder.iterdir()) if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))


def named(folder: Path, *names: str) -> Path | None:
    """What has one of the `names` in a folder, in any case, the first of them that is there; None without any."""
    there = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True)} if folder.is_dir() else {}
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def clips(folder: Path, below: bool = False) -> list[Path]:
    """The audio files of a folder, sorted, one for each name: what is there as wav and as mp3 is the wav."""
    best: dict[Path, Path] = {}
    for path in files(folder, *AUDIO_SUFFIXES, below=below):
        known = best.setdefault(path.with_suffix(""), path)
        if AUDIO_SUFFIXES.index(path.suffix.lower()) < AUDIO_SUFFIXES.index(known.suffix.lower()):
            best[path.with_suffix("")] = path
    return sorted(best.values())


def clip_at(path: Path) -> Path:
    """`path`, or, where it is not there, the audio file beside it that has its name and another suffix."""
    if path.is_file():
        return path
    spelt = (suffix for lower in AUDIO_SUFFIXES for suffix in (lower, lower.upper()))
    return next((other for suffix in spelt if (other := path.with_suffix(suffix)).is_file()), path)


def listing(folder: Path, below: bool = False, most: int = 8) -> str:
    """The first names in a folder, or the first files below it."""
    if not folder.is_dir():
        return "nothing, the folder does not exist"
    found = (path for path in (folder.rglob("*") if below else folder.iterdir()) if path.is_file() or not below)
    names = sorted(path.relative_to(folder).as_posix() for path in islice(found, 5_000))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
