"""Manifests: JSON lines <-> `Example`, and the checks that run before anything is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogrl.atomic import atomic_write
from cogrl.audio import SilentClips, file_stamp, load_audio, to_seconds
from cogrl.data.line import line_of, parse_line
from cogrl.data.line_schema import SLACK_S
from cogrl.data.text_file import utf8_bytes
from cogrl.types import Example, Span, SpokenTurn

FileStamps = Mapping[Path, tuple[int, int] | None]
"""What `file_stamp` said of audio files when they were checked."""
_MOST_ERRORS = 20
_CHECKED: set[tuple] = set()


def read_manifest(path: Path, audio_root: Path | None = None) -> list[Example]:
    """The examples of a JSONL file; audio paths are relative to `audio_root`, by default the manifest's own folder.

    Chat markup in `text` and `targets`, such as `<|AUDIO|>` or `<sound>`, is escaped (see `escape_markup`): no
    transcript can forge a control token. A byte-order mark is passed over. Raises FileNotFoundError for a missing file
    and one ValueError with all bad lines (at most 20), each as `file:line (id)`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"manifest {path} is missing; make the embedded corpus with: cogrl build lime-mini --out {path.parent}"
        )
    examples, errors, seen = [], [], {}
    for number, line in enumerate(utf8_bytes(path).split(b"\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            example = parse_line(line, where, audio_root or path.parent)
            if example.id in seen:
                raise ValueError(f"{where} ({example.id}): duplicate id {example.id!r}, first at {seen[example.id]}")
            seen[example.id] = where
            examples.append(example)
        except ValueError as error:
            errors.append(str(error))
    raise_all(errors)
    if not examples:
        raise ValueError(f"{path}: holds no examples; rebuild it with: cogrl build lime-mini --out {path.parent}")
    return examples


def write_manifest(path: Path, examples: Sequence[Example]) -> None:
    """One JSON line for each example, moved into place when complete; audio paths relative to the manifest's folder."""
    path = Path(path)
    lines = [line_of(example, path.parent) + "\n" for example in examples]
    with atomic_write(path) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf-8")


def check_splits(splits: Mapping[str, Sequence[Example]], disjoint: Sequence[str] = ("text_group", "speaker")) -> None:
    """Raises ValueError, naming both lines, where two splits share a value of a `disjoint` field or a clip.

    Lines without a value of such a field share none.
    """
    errors = []
    for field in (*disjoint, "id", "audio"):
        first: dict[Any, tuple[str, Example]] = {}
        for split, examples in splits.items():
            reported = set()
            for value, example in _values(examples, field):
                owner, earlier = first.setdefault(value, (split, example))
                if owner != split and value not in reported:
                    reported.add(value)
                    errors.append(
                        f"{example.where} ({example.id}): {field} {str(value)!r} of split {split!r} is also in split "
                        f"{owner!r} ({earlier.where}); give each {field} to one split"
                    )
    raise_all(errors)


def _values(examples: Sequence[Example], field: str) -> Iterator[tuple[Any, Example]]:
    """Each example with its value of `field`, if any; for `audio` also with the clips of its earlier turns."""
    for example in examples:
        if getattr(example, field):
            yield getattr(example, field), example
        if field == "audio":
            yield from ((turn.audio, example) for turn in example.turns if turn.audio)


def with_history(examples: Sequence[Example], history: str | None) -> list[Example]:
    """The examples with their earlier turns where `history` is "heard", without any where it is "left_out".

    Raises ValueError, naming the first line, for dialogues when `history` is None.
    """
    dialogues = [example for example in examples if example.turns]
    if dialogues and history is None:
        first = dialogues[0]
        raise ValueError(
            f"{first.where} ({first.id}): has {len(first.turns)} earlier turns, as {len(dialogues)} of {len(examples)} "
            "lines do; set data.history (of cogrl evaluate: --history) to 'heard' (all turns) or 'left_out' (the last "
            "turn alone)"
        )
    return list(examples) if history == "heard" else [replace(example, turns=()) for example in examples]


def check_audio_files(
    examples: Sequence[Example],
    sampling_rate: int = 16000,
    max_s: float | None = None,
    convert: bool = False,
    silent_clips: SilentClips = "refuse",
) -> FileStamps:
    """Decodes every file once, earlier turns included (hundreds a second), and raises one ValueError with each refusal
    of `load_audio`, which says what `convert` and `silent_clips` allow, and each line whose `speech`, `events` or
    `evidence` end after its clip. Returns the size and time stamp of each file.

    A file that passed is not decoded again in this process while its size and time stamp stay the same.
    """
    errors, stamps = [], {}
    for example in examples:
        gold = {"speech, turn": example.speech, "event": example.events, "evidence, part": example.evidence}
        clips = [("", example.audio, example.duration_s, gold)]
        turns = [(n, turn) for n, turn in enumerate(example.turns, start=1) if turn.audio]
        clips += [(f", turn {n}", turn.audio, turn.duration_s, {}) for n, turn in turns]
        for turn_name, audio, duration_s, timed in clips:
            try:
                stamps[audio] = file_stamp(audio)
                key = (audio, stamps[audio], duration_s, sampling_rate, max_s, convert, silent_clips, *timed.values())
                if key not in _CHECKED:
                    name = f"{example.where} ({example.id}{turn_name})"
                    waveform = load_audio(audio, sampling_rate, max_s, duration_s, name, convert, silent_clips)
                    _check_times(timed, to_seconds(len(waveform), sampling_rate), name)
                    _CHECKED.add(key)
            except (ValueError, OSError) as error:
                errors.append(str(error))
    raise_all(errors)
    return stamps


def _check_times(timed: Mapping[str, Sequence[Span | SpokenTurn]], lasts_s: float, name: str) -> None:
    for called, parts in timed.items():
        for number, part in enumerate(parts, start=1):
            if part.end_s > lasts_s + SLACK_S:
                raise ValueError(
                    f"{name}: {called} {number} ends at {part.end_s:g} s, the clip lasts {lasts_s:.3f} s; "
                    "correct the times or replace the file"
                )


def raise_all(errors: Sequence[str]) -> None:
    """One ValueError for all `errors` (the first 20 in full), nothing when there are none."""
    if errors:
        more = [f"... and {len(errors) - _MOST_ERRORS} more"] if len(errors) > _MOST_ERRORS else []
        raise ValueError("\n".join([*errors[:_MOST_ERRORS], *more]))
