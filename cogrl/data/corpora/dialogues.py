"""Dialogues as the HumDial challenge publishes them, read once for its own data and for the benchmark made from it.

    {"dialogue_id": …, "turns": [{"turn_id": 1, "text": …, "emotion": …, "split_audio_file": …, "response_text": …}]}

Some files say input_text and input_emotion. https://github.com/ASLP-lab/Hum-Dial (Emotional_Intelligence) and
https://github.com/ASLP-lab/HumDial-EIBench show both forms.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def read_dialogues(
    path: Path, folders: Sequence[Path], dropped: Counter[str], refuse: Callable[[str], None]
) -> Iterator[tuple[str, dict[str, Any], list[Turn]]]:
    """(`file:line`, dialogue, the user's turns in order) of a JSONL file or of a JSON list, each turn with its audio.

    Audio is looked for in `folders`; labels without a counterpart are counted in `dropped`. A broken line, a dialogue
    without turns and a turn without text go to `refuse`, with `file:line` and reason. Raises ValueError for a file that
    is not UTF-8, and for a list that is broken as a whole.
    """
    for where, record in _records(path, refuse):
        if not isinstance(record, dict) or not isinstance(record.get("dialogue_id"), str | int):
            refuse(f"{where}: a dialogue is an object with dialogue_id, got {str(record)[:80]}")
            continue
        try:
            turns = _turns(record, where, folders, dropped)
        except ValueError as error:
            refuse(str(error))
        else:
            yield where, record, turns


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


def _turns(dialogue: Mapping[str, Any], where: str, folders: Sequence[Path], dropped: Counter[str]) -> list[Turn]:
    records = dialogue.get("turns") or []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records) or not records:
        raise ValueError(f"{where} ({dialogue['dialogue_id']}): turns must be a list of objects, got {records!r}")
    if all("turn_id" in record for record in records):
        for record in records:
            if not str(record["turn_id"]).strip().isdecimal():
                raise ValueError(f"{where} ({dialogue['dialogue_id']}): turn_id {record['turn_id']!r} is no number")
        records = sorted(records, key=lambda record: int(record["turn_id"]))
    return [_turn(record, n, dialogue, where, folders, dropped) for n, record in enumerate(records, start=1)]


def _turn(
    record: Mapping[str, Any],
    number: int,
    dialogue: Mapping[str, Any],
    where: str,
    folders: Sequence[Path],
    dropped: Counter[str],
) -> Turn:
    text = str(record.get("input_text") or record.get("text") or "").strip()
    if not text:
        raise ValueError(f"{where} ({dialogue['dialogue_id']}), turn {number}: has no text; keys: {', '.join(record)}")
    label = str(record.get("input_emotion") or record.get("emotion") or "").strip().lower()
    if label and label not in LABELS:
        dropped[f"label {label} of a turn (the turn is kept without it)"] += 1
    reply = str(record.get("response_text") or record.get("response_txt") or "").rpartition("assistant\n")[2].strip()
    named = next((str(record[key]) for key in _AUDIO if record.get(key)), "")
    own = f"{dialogue['dialogue_id']}_{record.get('turn_id', number)}.wav"
    return Turn(text=text, audio=located(named, own, folders), emotion=LABELS.get(label), reply=reply or None)


def located(named: str, own: str, folders: Sequence[Path]) -> Path:
    """The file a record names, tried as it stands and by its name alone below each of `folders`, else `own` there.

    Nothing found gives the first candidate, so that the error about it names a place.
    """
    names = [named.lstrip("/"), Path(named).name] if named else []
    candidates = [folder / name for folder in folders for name in (*names, own)]
    return next((path for path in map(clip_at, candidates) if path.is_file()), candidates[0])
