"""Recorded speech and environments in folders of one's own, decoded once before anything is planned.

    <speech>/speech.jsonl        lines of a manifest: {"id", "audio", "speaker", "text"}; audio beside it, in any form
    <environments>/<label>/…     recordings of one environment a folder

A clip that can not be used is left out, named, with the reason.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cogrl.audio import file_stamp, load_audio, to_seconds
from cogrl.data.corpora.layout import clips, listing
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.paqa.clip import SAMPLING_RATE, longest_s
from cogrl.data.recipes.paqa.plan import SPLITS
from cogrl.data.synthesis.filters import trim
from cogrl.progress import progress
from cogrl.types import Example, Waveform
from cogrl.words import words

LIST = "speech.jsonl"
MOST_TURNS = 3
SHARES: Mapping[str, float] = {"sft": 0.6, "rl": 0.2, "val": 0.05, "test": 0.15}
"""Of the speakers and the environment files that are left when every part has the fewest it needs."""


@dataclass(frozen=True)
class Recording:
    """Who says what in a file. `stamp` is the file's size and time of change."""

    path: Path
    speaker: str
    text: str
    licence: str
    stamp: tuple[int, int] | None


def samples_of(path: Path, name: str = "") -> Waveform:
    """The clip at 16 kHz, mono, without the silence around it. Raises what `load_audio` raises."""
    return trim(load_audio(path, SAMPLING_RATE, name=name, convert=True), SAMPLING_RATE, margin_s=0.0)


def speech_of(folder: Path, max_s: float, rejected: dict[str, str]) -> list[Recording]:
    """The usable recordings of `speech.jsonl`; `rejected` gets the others, by `file:line (id)`.

    Rejected are lines without speaker or text, files that can not be heard, and those of which three do not fit into
    `max_s`. Raises FileNotFoundError without the list, ValueError for lines that are none of a manifest.
    """
    if not (folder / LIST).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {LIST}, lines with id, audio, speaker and text; found: {listing(folder)}"
        )
    most_s, found = max_s / MOST_TURNS - (longest_s([0.0] * MOST_TURNS)) / MOST_TURNS, []
    for line in progress(read_manifest(folder / LIST), "PAQA: speech", unit="clip"):
        reason = _unusable(line, most_s, max_s)
        if reason is None:
            found.append(Recording(line.audio, line.speaker, line.text, line.licence, file_stamp(line.audio)))
        else:
            rejected[f"{line.where} ({line.id})"] = reason
    return found


def environments_of(folder: Path, rejected: dict[str, str]) -> dict[str, list[Path]]:
    """The usable recordings by label, the name of their folder; `rejected` gets the others, by path.

    Raises FileNotFoundError where no folder holds any.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        for path in clips(inner, below=True):
            try:
                samples_of(path)
                found[inner.name].append(path)
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


def by_part(
    recordings: Sequence[Recording], rng: random.Random, rejected: dict[str, str]
) -> dict[str, list[Recording]]:
    """The recordings of each part: no two share a speaker or a text. A text that several say is given to one of them.

    Raises ValueError with fewer than three speakers for each part.
    """
    try:
        speakers = dealt(sorted({one.speaker for one in recordings}), MOST_TURNS, rng)
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


def _unusable(line: Example, most_s: float, max_s: float) -> str | None:
    missing = [name for name in ("speaker", "text") if not getattr(line, name)]
    if missing:
        return f"has no {' and no '.join(missing)}"
    try:
        lasts_s = to_seconds(len(samples_of(line.audio)), SAMPLING_RATE)
    except (ValueError, OSError) as error:
        return str(error)
    if lasts_s > most_s:
        return f"lasts {lasts_s:.2f} s, {MOST_TURNS} turns of at most {most_s:.2f} s fit into --max-s {max_s:g}"
    return None
