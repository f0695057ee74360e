"""Dialogues as the HumDial challenge publishes them, read once for its own data and for the benchmark made from it.

    {"dialogue_id": …, "turns": [{"turn_id": 1, "text": …, "emotion": …, "split_audio_file": …, "response_text": …}]}

Some files say input_text and input_emotion. https://github.com/ASLP-lab/Hum-Dial (Emotional_Intelligence) and
https://github.com/ASLP-lab/HumDial-EIBench show both forms.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def read_dialogues(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, dialogue) of a JSONL file or of a JSON list. Raises ValueError, `file:line`, for a broken one."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        records = [(f"{path}:1", _object(text, f"{path}:1"))]
        records = [(f"{path}[{number}]", record) for _, batch in records for number, record in enumerate(batch)]
    else:
        lines = enumerate(text.splitlines(), start=1)
        records = [(f"{path}:{number}", _object(line, f"{path}:{number}")) for number, line in lines if line.strip()]
    for where, record in records:
        if not isinstance(record, dict) or not isinstance(record.get("dialogue_id"), str | int):
            raise ValueError(f"{where}: a dialogue is an object with dialogue_id, got {str(record)[:80]}")
        yield where, record


def _object(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error.msg}; download the file again") from error


def turns_of(dialogue: Mapping[str, Any], where: str, folders: Sequence[Path], dropped: Counter[str]) -> list[Turn]:
    """The user's turns in order, each with its audio from one of `folders`; labels without a counterpart are counted.

    Raises ValueError for a dialogue without turns or a turn without text or audio.
    """
    records = dialogue.get("turns") or []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records) or not records:
        raise ValueError(f"{where} ({dialogue['dialogue_id']}): turns must be a list of objects, got {records!r}")
    if all("turn_id" in record for record in records):
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
    return next((path for path in candidates if path.is_file()), candidates[0])
