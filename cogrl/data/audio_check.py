"""The check of every audio file of a manifest before training: headers first, then the sound."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cogrl.audio import SilentClips, audio_info, check_header, file_stamp, info_of, load_audio
from cogrl.audio_facts import FACTS, AudioFacts, Seen
from cogrl.containers.opened import label_of
from cogrl.data.errors import raise_all
from cogrl.data.in_parallel import in_parallel
from cogrl.data.line_schema import SLACK_S
from cogrl.types import Example, Span, SpokenTurn


class _Clip(NamedTuple):
    """One file that a line names: which of its turns (0: its own clip), how errors call it, and what the line says."""

    turn: int
    name: str
    audio: Path
    duration_s: float | None
    timed: Mapping[str, Sequence[Span | SpokenTurn]]


class _Headers(NamedTuple):
    """Of a part of the lines: its files, new `FACTS`, the (key, line, turn) of what is not decoded yet, refusals."""

    paths: list[Path]
    rows: np.ndarray
    undecoded: list[tuple[int, int, int]]
    errors: list[str]


def check_audio_files(
    examples: Sequence[Example],
    sampling_rate: int = 16000,
    max_s: float | None = None,
    convert: bool = False,
    silent_clips: SilentClips = "refuse",
    facts: AudioFacts | None = None,
    decode: bool = True,
) -> list[Path]:
    """Checks every file, earlier turns included: all headers first and then, with `decode`, all of the sound.

    Returns the files.

    Raises one ValueError with every message of `load_audio`, which says what `convert` and `silent_clips` allow, and
    each line whose `speech`, `events` or `evidence` end after its clip. `facts` takes up what is found, also where this
    raises; what it has of a file that is still what it was is not looked for a second time.
    """
    facts = AudioFacts(Path()) if facts is None else facts
    look = partial(_headers, examples, facts, sampling_rate, max_s, convert, silent_clips)
    found = list(in_parallel(look, len(examples), "check of audio headers", "line"))
    facts.add(np.concatenate([part.rows for part in found]))
    raise_all([error for part in found for error in part.errors])
    paths = list(dict.fromkeys(path for part in found for path in part.paths))
    if not decode:
        return paths
    firsts: dict[int, tuple[int, int]] = {}
    for key, place, turn in (one for part in found for one in part.undecoded):
        firsts.setdefault(key, (place, turn))
    listen = partial(_sound, examples, facts, list(firsts.values()), silent_clips)
    errors = []
    for rows, problems in in_parallel(listen, len(firsts), "check of sound", "file"):
        facts.add(rows)
        errors += problems
    raise_all(errors)
    return paths


def _clips(example: Example) -> Iterator[_Clip]:
    name = f"{example.where} ({example.id}"
    timed = {"speech, turn": example.speech, "event": example.events, "evidence, part": example.evidence}
    yield _Clip(0, f"{name})", example.audio, example.duration_s, timed)
    for number, turn in enumerate(example.turns, start=1):
        if turn.audio:
            yield _Clip(number, f"{name}, turn {number})", turn.audio, turn.duration_s, {})


def _headers(
    examples: Sequence[Example],
    facts: AudioFacts,
    sampling_rate: int,
    max_s: float | None,
    convert: bool,
    silent_clips: SilentClips,
    part: range,
) -> _Headers:
    found: dict[Path, np.void] = {}
    paths: dict[Path, None] = {}
    enough = (Seen.AUDIBLE, Seen.SILENT) if silent_clips == "keep" else (Seen.AUDIBLE,)
    undecoded, errors = [], []
    for place in part:
        for clip in _clips(examples[place]):
            paths[clip.audio] = None
            try:
                stamp = file_stamp(clip.audio)
                row = facts.current(clip.audio, stamp)
                if row is None and clip.audio not in found:
                    found[clip.audio] = _row(facts, clip, stamp)
                row = found.get(clip.audio, row)
                header = info_of(row)
                label = label_of(clip.audio, clip.name)
                check_header(header, clip.audio, label, sampling_rate, max_s, clip.duration_s, convert)
                _check_times(clip, header.duration_s)
                if row["seen"] not in enough:
                    undecoded.append((int(row["key"]), place, clip.turn))
            except (ValueError, OSError) as error:
                errors.append(str(error))
    return _Headers(list(paths), np.array(list(found.values()), dtype=FACTS), undecoded, errors)


def _row(facts: AudioFacts, clip: _Clip, stamp: tuple[int, int] | None) -> np.void:
    header = audio_info(clip.audio, clip.name)
    return facts.row(clip.audio, stamp or (0, 0), header.frames, header.sampling_rate, header.channels)


def _sound(
    examples: Sequence[Example],
    facts: AudioFacts,
    undecoded: Sequence[tuple[int, int]],
    silent_clips: SilentClips,
    part: range,
) -> tuple[np.ndarray, list[str]]:
    rows, errors = [], []
    for place, turn in undecoded[part.start : part.stop]:
        clip = next(clip for clip in _clips(examples[place]) if clip.turn == turn)
        row = facts.find(clip.audio).copy()
        try:
            row["seen"] = _seen(clip, int(row["sampling_rate"]), silent_clips)
            rows.append(row)
        except (ValueError, OSError) as error:
            errors.append(str(error))
    return np.array(rows, dtype=FACTS), errors


def _seen(clip: _Clip, sampling_rate: int, silent_clips: SilentClips) -> Seen:
    """Decodes all of a file, as it is. Raises what `load_audio` raises."""
    decode = partial(load_audio, clip.audio, sampling_rate, name=clip.name, convert=True)
    try:
        decode()
        return Seen.AUDIBLE
    except ValueError:
        decode(silent_clips=silent_clips)  # raises unless the clip is silent and may be so
        return Seen.SILENT


def _check_times(clip: _Clip, lasts_s: float) -> None:
    for called, parts in clip.timed.items():
        for number, part in enumerate(parts, start=1):
            if part.end_s > lasts_s + SLACK_S:
                raise ValueError(
                    f"{clip.name}: {called} {number} ends at {part.end_s:g} s, the clip lasts {lasts_s:.3f} s; "
                    "correct the times or replace the file"
                )
