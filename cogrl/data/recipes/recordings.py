"""Recorded speech and environments in folders of one's own, decoded once before anything is planned.

    <speech>/speech.jsonl        lines of a manifest: {"id", "audio", "speaker", "text"}; audio beside it, in any form
    <environments>/<label>/…     recordings of one environment a folder

A clip that can not be used is left out, named, with the reason.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cogrl.audio import file_stamp, load_audio, to_seconds
from cogrl.data.corpora.layout import clips, listing
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.question_folder import SPLITS
from cogrl.data.synthesis.filters import trim
from cogrl.progress import progress
from cogrl.types import Example, Waveform
from cogrl.words import words

LIST = "speech.jsonl"
SAMPLING_RATE = 16000
SHARES: Mapping[str, float] = {"sft": 0.6, "rl": 0.2, "val": 0.05, "test": 0.15}
"""Of the speakers and the environment files that are left when every part has the fewest it needs."""


@dataclass(frozen=True)
class Recording:
    """Who says what in a file, for so long in seconds. `stamp` is the file's size and time of change."""

    path: Path
    speaker: str
    text: str
    licence: str
    stamp: tuple[int, int] | None
    lasts_s: float


def samples_of(path: Path, name: str = "") -> Waveform:
    """The clip at 16 kHz, mono, without the silence around it. Raises what `load_audio` raises."""
    return trim(load_audio(path, SAMPLING_RATE, name=name, convert=True), SAMPLING_RATE, margin_s=0.0)


def speech_of(folder: Path, too_long: Callable[[float], str | None], rejected: dict[str, str]) -> list[Recording]:
    """The usable recordings of `speech.jsonl`; `rejected` gets the others, by `file:line (id)`.

    Rejected are lines without speaker or text, files that can not be heard, and those for whose length in seconds
    `too_long` gives a reason. Raises FileNotFoundError without the list, ValueError for lines that are none of a
    manifest.
    """
    if not (folder / LIST).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {LIST}, lines with id, audio, speaker and text; found: {listing(folder)}"
        )
    found = []
    for line in progress(read_manifest(folder / LIST), "speech", unit="clip"):
        try:
            found.append(_recording(line, too_long))
        except (ValueError, OSError) as error:
            rejected[f"{line.where} ({line.id})"] = str(error)
    return found


def environments_of(folder: Path, rejected: dict[str, str]) -> dict[str, dict[Path, float]]:
    """By label, the name of their folder: the usable recordings and their lengths in seconds.

    `rejected` gets the others, by path. Raises FileNotFoundError where no folder holds any.
    """
    found: dict[str, dict[Path, float]] = defaultdict(dict)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        for path in clips(inner, below=True):
            try:
                found[inner.name][path] = to_seconds(len(samples_of(path)), SAMPLING_RATE)
            except (ValueError, OSError) as error:
                rejected[str(path)] = str(error)
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no folder with usable recordings of an environment; expected one folder a label, found: "
            f"{listing(folder, below=True)}"
        )
    return dict(found)


def dealt(things: Sequence[str | Path], least: int, rng: random.Random) -> dict[str, list]:
    """The things by part of the corpus, at least so many for each, the rest by `SHARES`.

    Raises ValueError when there are too few.
    """
    rest = len(things) - least * len(SPLITS)
    if rest < 0:
        raise ValueError(f"{len(things)} are too few: each of {', '.join(SPLITS)} needs {least}")
    order, parts = rng.sample(list(things), len(things)), {}
    for part in reversed(SPLITS):  # what rounding leaves over is sft's
        count = len(order) if part == "sft" else least + math.floor(SHARES[part] * rest)
        parts[part], order = order[:count], order[count:]
    return parts


def dealt_or_shared(files: Sequence[Path], rng: random.Random) -> dict[str, list]:
    """The files of one label by part of the corpus; where there are fewer than parts, every part has all of them."""
    return dealt(files, 1, rng) if len(files) >= len(SPLITS) else {part: list(files) for part in SPLITS}


def by_part(
    recordings: Sequence[Recording], least: int, rng: random.Random, rejected: dict[str, str]
) -> dict[str, list[Recording]]:
    """The recordings of each part: no two share a speaker or a text. A text that several say is given to one of them.

    Raises ValueError with fewer than `least` speakers for each part.
    """
    try:
        speakers = dealt(sorted({one.speaker for one in recordings}), least, rng)
    except ValueError as error:
        raise ValueError(f"speakers with usable recordings: {error}") from error
    part_of = {speaker: part for part, names in speakers.items() for speaker in names}
    owners: dict[str, set[str]] = defaultdict(set)
    for one in recordings:
        owners[words(one.text)].add(part_of[one.speaker])
    owner = {text: rng.choice(sorted(parts)) for text, parts in sorted(owners.items())}
    parts: dict[str, list[Recording]] = {part: [] for part in SPLITS}
    for one in recordings:
        part = part_of[one.speaker]
        if owner[words(one.text)] == part:
            parts[part].append(one)
        else:
            rejected[str(one.path)] = f"its text is said in {owner[words(one.text)]}, its speaker is one of {part}"
    return parts


def _recording(line: Example, too_long: Callable[[float], str | None]) -> Recording:
    """Raises ValueError or OSError, with the reason, for one that can not be used."""
    missing = [name for name in ("speaker", "text") if not getattr(line, name)]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    lasts_s = to_seconds(len(samples_of(line.audio)), SAMPLING_RATE)
    reason = too_long(lasts_s)
    if reason:
        raise ValueError(reason)
    return Recording(line.audio, line.speaker, line.text, line.licence, file_stamp(line.audio), lasts_s)
