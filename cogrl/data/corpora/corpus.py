"""What the corpus readers share: where a corpus comes from, what of it was kept and dropped, and how it is written.

A reader is a function `read(raw, …, partial=False) -> Reading`. It never copies audio and never drops anything without
a count. A folder or file that the layout promises and that is not there is an error; `partial=True` leaves it out
instead, counted.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cogrl.audio import audio_info
from cogrl.data import build_folder
from cogrl.data.corpora.layout import in_any_case, listing
from cogrl.data.errors import raise_all
from cogrl.data.json_text import damage
from cogrl.data.manifest import check_splits, read_manifest, write_manifest
from cogrl.data.text_file import LOST, decoded
from cogrl.markdown import markdown_table
from cogrl.progress import progress
from cogrl.types import Example
from cogrl.words import words

_CARD = "CORPUS.md"


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from and on what terms."""

    name: str
    url: str
    licence: str


@dataclass
class Reading:
    """The examples of a corpus by split; `disjoint` is what its splits promise not to share (see `AudioData`).

    `together` lists the splits that are used together, where that is not all of them. `root` and `layout` are where it
    was read and what was expected there, for the message when nothing of it is left.
    """

    source: Source
    splits: dict[str, list[Example]]
    disjoint: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    root: Path | None = None
    layout: str = ""


def within(raw: Path, pattern: str, source: Source, expected: str) -> Path:
    """`raw`, or its one sub-folder, that holds something matching `pattern` in any case; else raises FileNotFoundError.

    Archives often unpack into a folder of their own inside the one the user made for them.
    """
    raw = Path(raw).resolve()
    if raw.is_dir():
        inner = sorted(path for path in raw.iterdir() if path.is_dir())
        for folder in (raw, *inner):
            if any(folder.glob(in_any_case(pattern))):
                return folder
    problem = "has another layout" if raw.is_dir() else "does not exist"
    raise FileNotFoundError(
        f"{source.name}: {raw} {problem}; expected {expected}. Get the corpus from {source.url}. Found: {listing(raw)}"
    )


def require(missing: Sequence[Path], source: Source, partial: bool, dropped: Counter[str]) -> None:
    """Raises FileNotFoundError with the first five of `missing` unless `partial`, which counts them as dropped."""
    if missing and not partial:
        shown = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        folder = missing[0].parent
        raise FileNotFoundError(
            f"{source.name}: expected {shown}; the download is incomplete. Get the corpus from {source.url}, or read "
            f"what is there with --partial. Found in {folder}: {listing(folder)}"
        )
    if missing:
        dropped["folder or list is missing"] += len(missing)


def leaving_out(reason: str, partial: bool, dropped: Counter[str]) -> Callable[[str], None]:
    """What to do with a record that can not be used: a function that takes the message about it.

    It raises ValueError with the message unless `partial`, where the record is counted under `reason`.
    """

    def leave_out(message: str) -> None:
        if not partial:
            raise ValueError(f"{message}; --partial leaves it out")
        dropped[reason] += 1

    return leave_out


def transcript(path: Path, legacy: str = "cp1252") -> str:
    """The text of a file in UTF-8, UTF-16 with a mark, or `legacy`, line ends as line feeds; empty without the file.

    What is none of them becomes U+FFFD, which `with_audio` counts.
    """
    if not path.is_file():
        return ""
    return decoded(path.read_bytes(), legacy).replace("\r\n", "\n").replace("\r", "\n")


def with_audio(examples: Iterable[Example], source: Source, partial: bool, dropped: Counter[str]) -> list[Example]:
    """The examples with the true durations of their files, theirs and their earlier turns'; hardly anything is decoded.

    Those with characters that were lost, or that no text should hold (see `suspect`), are dropped and counted. Raises
    ValueError for files that are missing, empty, cut or no audio, naming ids and files, unless `partial`.
    """
    kept, errors = [], []
    for example in progress(list(examples), f"{source.name}: audio headers", unit="clip"):
        if _unreadable(example):
            dropped["characters that can not be read (U+FFFD, control characters)"] += 1
            continue
        try:
            turns = tuple(
                replace(turn, duration_s=_duration(turn.audio, f"{example.id}, turn {number}"))
                for number, turn in enumerate(example.turns, start=1)
            )
            kept.append(replace(example, duration_s=_duration(example.audio, example.id), turns=turns))
        except (OSError, ValueError) as error:
            errors.append(str(error))
    if errors and not partial:
        raise_all([f"{source.name}: {len(errors)} clips can not be read; --partial leaves them out", *errors])
    if errors:
        dropped["audio is missing, empty or damaged"] += len(errors)
    return kept


def _unreadable(example: Example) -> bool:
    said = [example.text, example.question, example.answer, *example.choices, *example.targets.values()]
    said += [str(text) for turn in example.turns for text in (turn.text, turn.reply, turn.audio)]
    return any(LOST in text for text in said if text) or bool(
        damage({**asdict(example), "audio": str(example.audio), "turns": said})
    )


def _duration(audio: Path, name: str) -> float:
    header = audio_info(audio, name)
    if header.frames == 0:
        raise ValueError(f"{name}: {audio}: holds no samples")
    return round(header.duration_s, 6)


def same_words(text: str) -> str:
    """A key that is equal for equal words, whatever their punctuation and case: 12 hex digits."""
    return hashlib.sha256(words(text).encode()).hexdigest()[:12]


def rescaled(value: str, low: int, high: int) -> float | None:
    """`value` from [low, high] to [-1, 1]; None for what lies outside (an annotation error) or is no number."""
    try:
        number = float(value)
    except ValueError:
        return None
    return round(2 * (number - low) / (high - low) - 1, 6) if low <= number <= high else None


def write_corpus(reading: Reading, out: Path) -> str:
    """Writes `<split>.jsonl` and a card into `out`, all or nothing; returns the card. Audio stays where it is.

    The manifests are read back and held to what the reading promises before they take the place of an earlier build.
    """
    out = Path(out).resolve()
    if not any(reading.splits.values()):
        lost = dict(reading.dropped) or "nothing"
        looked = f"; found in {reading.root}: {listing(reading.root, below=True)}" if reading.root else ""
        expected = f"; expected {reading.layout}" if reading.layout else ""
        raise ValueError(f"{reading.source.name}: nothing is left to write; dropped: {lost}{looked}{expected}")
    splits = {name: rows for name, rows in reading.splits.items() if rows}
    names = (*(f"{name}.jsonl" for name in reading.splits), _CARD)
    card = _card(reading, splits)
    with build_folder.replacing(out, reading.source.name, names) as work:
        for name, rows in splits.items():
            write_manifest(work / f"{name}.jsonl", rows)
        written = {name: read_manifest(work / f"{name}.jsonl") for name in splits}
        for group in reading.together or (tuple(splits),):
            check_splits({name: written[name] for name in group if name in written}, reading.disjoint)
        (work / _CARD).write_text(card, encoding="utf-8")
    return card


def _card(reading: Reading, splits: dict[str, list[Example]]) -> str:
    source = reading.source
    shared = ", ".join(reading.disjoint) or "neither text_group nor speaker"
    lines = [
        f"# {source.name}",
        "",
        f"Source: {source.url}. Licence: {source.licence}. Audio is referenced where it lies.",
        f"No two splits share: {shared}. Train with `data.disjoint: [{', '.join(reading.disjoint)}]`.",
        "",
        markdown_table(("split", "clips", "hours", "speakers", "labels"), map(_counts, splits.items())),
        _forms(splits),
        "",
        "Dropped:" if reading.dropped else "Nothing was dropped.",
    ]
    lines += [f"- {reason}: {count}" for reason, count in sorted(reading.dropped.items())]
    lines += [f"- note: {note}" for note in reading.notes]
    return "\n".join(lines) + "\n"


def _counts(split: tuple[str, Sequence[Example]]) -> list[str]:
    name, rows = split
    labels = Counter(row.emotion or "none" for row in rows)
    counts = ", ".join(f"{label} {count}" for label, count in sorted(labels.items()))
    hours = sum(row.duration_s or 0 for row in rows) / 3600
    return [name, str(len(rows)), f"{hours:.2f}", str(len({row.speaker for row in rows} - {""})), counts]


def _forms(splits: dict[str, list[Example]]) -> str:
    """How many files have which sampling rate and channels, and whether they need conversion."""
    rows = [row for split in splits.values() for row in split]
    files = [path for row in rows for path in (row.audio, *(turn.audio for turn in row.turns)) if path]
    infos = [audio_info(path) for path in files]
    forms = Counter((info.sampling_rate, info.channels) for info in infos)
    named = ", ".join(
        f"{count} at {rate} Hz with {channels} channel{'s' * (channels > 1)}"
        for (rate, channels), count in sorted(forms.items())
    )
    need = "Train with `data.convert: true` (`cogrl evaluate --convert`): the published policies take 16000 Hz, mono."
    return f"Audio files: {named}." + ("" if set(forms) <= {(16_000, 1)} else f" {need}")
