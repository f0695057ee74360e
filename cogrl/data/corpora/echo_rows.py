"""EAQA, questions about short parts of a clip, in the lines that Echo trains on. (arXiv:2602.11909)

Source: https://github.com/wdqqdw/Echo; the data itself is not released. Licence: that of your own rows. Two layouts of
a row, which may stand in one file; the name of the list is free:

    <raw>/<list>.jsonl   {"id": 7, "audio_path": "wavs/x.wav", "question": "What follows the bell?",
                          "multi_choice": ["a dog", "a car", "rain", "a door"], "answer": "a dog"}
                         {"messages": [{"role": "user", "content": "<audio>…"},
                                       {"role": "assistant", "content": "<think>… <seg>1.5, 3</seg> …</think>
                                        <answer>a dog</answer>"}], "audios": ["wavs/x.wav"]}

A path is absolute or below <raw>. `answer` is the text of the right choice. The second layout is that of ms-swift: the
user's message is the question, with its options in it, and the line is an open question with the target `echo`. A
target whose answer is empty, or that cites a part that is not in the clip, too short, or the same twice, is left out
with the reason on the card: the question is there without a target, as RL takes it. Splits: `train`, and `val` drawn
by audio file.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogrl.audio import audio_info
from cogrl.data.corpora.corpus import Reading, Source, within
from cogrl.data.corpora.layout import clip_at, files
from cogrl.data.corpora.questions import (
    Rejected,
    Unusable,
    check_share,
    choices_of,
    found_questions,
    rows,
    split_questions,
)
from cogrl.formats.echo import ECHO
from cogrl.formats.segments import SegmentRules
from cogrl.types import Example

SOURCE = Source("EAQA", "https://github.com/wdqqdw/Echo", "that of your own rows")
RULES = SegmentRules()
_PLAIN = ("id", "audio_path", "question", "multi_choice", "answer")
_SWIFT = ("messages", "audios")
_SHOWN = 20


def read(raw: Path, held_out: float = 0.02, seed: int = 0, keep_order: bool = False, partial: bool = False) -> Reading:
    """The questions, with their choices in an order drawn by `seed` unless `keep_order`.

    Raises FileNotFoundError without a list, and ValueError, `file:line (id)`, for a row that can not be asked or clips
    that can not be read; `partial` leaves those out, counted by reason and named.
    """
    check_share(held_out)
    expected = "a .jsonl with id, audio_path, question, multi_choice and answer, or messages and audios, in each line"
    root = within(raw, "*.jsonl", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": []}, root=root, layout=expected)
    rejected, without = Rejected(reading, partial), list[str]()

    def question(record: dict[str, Any], name: str) -> Example:
        example = _conversation(record, name, root) if "messages" in record else _plain(record, name, root)
        lasts_s = audio_info(example.audio, name).duration_s if example.audio.is_file() else None
        if lasts_s is not None and lasts_s < RULES.min_s:
            message = f"{name}: {example.audio} lasts {lasts_s:.2f} s, no part of {RULES.min_s} s can be cited"
            raise Unusable("clip shorter than the shortest part", message)
        reason = _wrong(example, lasts_s)
        if reason:
            without.append(f"{name}: {reason}")
            return replace(example, targets={})
        return example

    found = list(found_questions(rows(files(root, ".jsonl"), (), rejected), question, rejected))
    if without:
        reading.notes.append(f"{len(without)} rows have a target that is not to be trained on, and are without it")
        reading.notes += [f"no target: {message}" for message in without[:_SHOWN]]
    return split_questions(reading, found, root, held_out, seed, keep_order, partial)


def _plain(record: Mapping[str, Any], name: str, root: Path) -> Example:
    """A question with four choices. Raises Unusable for a row without what it needs."""
    _check_keys(record, _PLAIN, name)
    choices, answer = choices_of(record["multi_choice"], name), str(record["answer"]).strip()
    if answer not in choices:
        raise Unusable("answer is no choice", f"{name}: answer {answer!r} is none of {', '.join(map(repr, choices))}")
    if not str(record["question"]).strip():
        raise Unusable("question is empty", f"{name}: question is empty")
    return Example(
        id=f"eaqa-{record['id']}",
        audio=clip_at(root / str(record["audio_path"])),
        question=str(record["question"]).strip(),
        choices=choices,
        answer=answer,
        targets={"choice": answer},
        language="en",
        source=f"EAQA {SOURCE.url}",
        licence=SOURCE.licence,
    )


def _conversation(record: Mapping[str, Any], name: str, root: Path) -> Example:
    """A question as ms-swift writes it, with the target `echo`. Raises Unusable for another conversation."""
    _check_keys(record, _SWIFT, name)
    audios, turns = record["audios"], record["messages"]
    if not isinstance(audios, list) or len(audios) != 1 or not isinstance(audios[0], str):
        raise Unusable("row with none or several clips", f"{name}: audios must hold one path, got {audios!r}")
    sound = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    texts = (
        {turn.get("role"): str(turn.get("content")) for turn in turns if turn.get("role") != "system"} if sound else {}
    )
    if list(texts) != ["user", "assistant"]:
        raise Unusable("row that is no question and answer", f"{name}: messages must be of user and assistant")
    asked = " ".join(texts["user"].replace("<audio>", " ").split())
    if not asked:
        raise Unusable("question is empty", f"{name}: the user's message holds nothing but audio")
    example = Example(
        id=f"eaqa-{record.get('id', name.split(' ')[0].rpartition('/')[2])}",
        audio=clip_at(root / audios[0]),
        question=asked,
        language="en",
        targets={ECHO.name: texts["assistant"]},
        source=f"EAQA {SOURCE.url}",
        licence=SOURCE.licence,
    )
    answer = ECHO.answer(texts["assistant"], example)
    if not answer:
        raise Unusable("reply without an answer", f"{name}: there is no <answer> in {texts['assistant'][-120:]!r}")
    return replace(example, answer=answer)


def _check_keys(record: Mapping[str, Any], keys: tuple[str, ...], name: str) -> None:
    missing = [key for key in keys if key not in record]
    if missing:
        message = f"{name}: has no {', '.join(missing)}; keys: {[*record]}"
        raise Unusable(f"row without {', '.join(missing)}", message)


def _wrong(example: Example, lasts_s: float | None) -> str:
    """Why the target `echo` of a line is not to be trained on; empty where it is, and where there is none."""
    text = example.targets.get(ECHO.name)
    if text is None or lasts_s is None:
        return ""
    if ECHO.parse(text) is None:
        return "its tags are missing, repeated or not closed"
    invalid = [one for one in RULES.citations(text, lasts_s) if one.invalid]
    return "; ".join(f"{text[one.start : one.end]} is {one.invalid} in {lasts_s:.2f} s" for one in invalid)
