"""Dialogues as the HumDial challenge publishes them: its data, the benchmark made from it, and answers to be judged.

    {"dialogue_id": …, "turns": [{"turn_id": 1, "text": …, "emotion": …, "split_audio_file": …, "response_text": …,
     "response_audio": …}]}

Some files say input_text and input_emotion. https://github.com/ASLP-lab/Hum-Dial (Emotional_Intelligence) and
https://github.com/ASLP-lab/HumDial-EIBench show both forms.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogrl.data.corpora.layout import clip_at
from cogrl.data.json_text import checked_json
from cogrl.data.text_file import utf8_lines, utf8_text
from cogrl.types import Emotion, Turn

LABELS: dict[str, Emotion] = {
    "neutral": "neutral",
    "happy": "happy",
    "happiness": "happy",
    "sad": "sad",
    "sadness": "sad",
    "angry": "anger",
    "anger": "anger",
    "surprise": "surprise",
    "surprised": "surprise",
    "fear": "fear",
    "fearful": "fear",
    "disgust": "disgust",
    "disgusted": "disgust",
}
_AUDIO = ("split_audio_file", "audio", "audio_path", "wav")


@dataclass(frozen=True)
class DialogueTurn:
    """What the user said and the reply to it, as published: "" where there is none, files by the names they have."""

    id: str
    text: str
    emotion: str
    reply: str
    audio: str
    reply_audio: str


def read_dialogues(
    path: Path, refuse: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, Any], list[DialogueTurn]]]:
    """(`file:line`, dialogue, its turns in order) of a JSONL file or of a JSON list.

    A broken line, a dialogue without turns and a turn without text go to `refuse`, with `file:line` and reason. Raises
    ValueError for a file that is not UTF-8, and for a list that is broken as a whole.
    """
    for where, record in _records(path, refuse):
        if not isinstance(record, dict) or not isinstance(record.get("dialogue_id"), str | int):
            refuse(f"{where}: a dialogue is an object with dialogue_id, got {str(record)[:80]}")
            continue
        try:
            turns = _turns(record, f"{where} ({record['dialogue_id']})")
        except ValueError as error:
            refuse(str(error))
        else:
            yield where, record, turns


def refuse_record(reason: str) -> None:
    """Raises ValueError: where every record of a file is needed."""
    raise ValueError(reason)


def with_clips(name: str, turns: Sequence[DialogueTurn], folders: Sequence[Path], dropped: Counter[str]) -> list[Turn]:
    """The turns of the dialogue `name` with their audio, looked for in `folders`; unknown labels go to `dropped`."""
    found = []
    for turn in turns:
        label = turn.emotion.lower()
        if label and label not in LABELS:
            dropped[f"label {label} of a turn (the turn is kept without it)"] += 1
        audio = located(turn.audio, f"{name}_{turn.id}.wav", folders)
        found.append(Turn(text=turn.text, audio=audio, emotion=LABELS.get(label), reply=turn.reply or None))
    return found


def second_non_neutral(emotions: Sequence[str | None]) -> int | None:
    """The turn an empathetic answer is due at, as the official `eval_task3.py` has it; None where there is none."""
    felt = _non_neutral(emotions)
    return felt[1] if len(felt) > 1 else None


def last_non_neutral(emotions: Sequence[str | None]) -> int | None:
    """The same, as the official README has it."""
    felt = _non_neutral(emotions)
    return felt[-1] if felt else None


TARGETS: dict[str, Callable[[Sequence[str | None]], int | None]] = {
    "second": second_non_neutral,
    "last": last_non_neutral,
}


def _non_neutral(emotions: Sequence[str | None]) -> list[int]:
    return [place for place, emotion in enumerate(emotions) if (emotion or "").lower() != "neutral"]


def _records(path: Path, refuse: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    text = utf8_text(path)
    if text.lstrip().startswith("["):
        yield from ((f"{path}[{number}]", record) for number, record in enumerate(checked_json(text, f"{path}:1")))
        return
    for where, line in utf8_lines(path):
        try:
            record = checked_json(line, where)
        except ValueError as error:
            refuse(str(error))
        else:
            yield where, record


def _turns(dialogue: Mapping[str, Any], where: str) -> list[DialogueTurn]:
    records = dialogue.get("turns") or []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records) or not records:
        raise ValueError(f"{where}: turns must be a list of objects, got {records!r}")
    if all("turn_id" in record for record in records):
        for record in records:
            if not str(record["turn_id"]).strip().isdecimal():
                raise ValueError(f"{where}: turn_id {record['turn_id']!r} is no number")
        records = sorted(records, key=lambda record: int(record["turn_id"]))
    return [_turn(record, n, where) for n, record in enumerate(records, start=1)]


def _turn(record: Mapping[str, Any], number: int, where: str) -> DialogueTurn:
    given = lambda *keys: next((str(record[key]).strip() for key in keys if record.get(key)), "")
    text = given("input_text", "text")
    if not text:
        raise ValueError(f"{where}, turn {number}: has no text; keys: {', '.join(record)}")
    return DialogueTurn(
        id=str(record.get("turn_id", number)),
        text=text,
        emotion=given("input_emotion", "emotion"),
        # some systems leave their chat template before the answer
        reply=given("response_text", "response_txt").rpartition("assistant\n")[2].strip(),
        audio=given(*_AUDIO),
        reply_audio=given("response_audio"),
    )


def located(named: str, own: str, folders: Sequence[Path]) -> Path:
    """The file a record names, tried as it stands and by its name alone below each of `folders`, else `own` there.

    Nothing found gives the first candidate, so that the error about it names a place.
    """
    names = [named.lstrip("/"), Path(named).name] if named else []
    candidates = [folder / name for folder in folders for name in (*names, own)]
    return next((path for path in map(clip_at, candidates) if path.is_file()), candidates[0])
