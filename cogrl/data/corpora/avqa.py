"""AVQA, questions about the sound of videos, in the lines that R1-AQA trains on.

Source: https://mn.cs.tsinghua.edu.cn/avqa, converted as https://github.com/xiaomi-research/r1-aqa describes
(arXiv:2503.11197). Licence: see the dataset's page. Layout, from that description; the name of the list is free:

    <raw>/<list>.jsonl   {"id": 183, "video_name": "-HG3Omg_89c_000030", "question_text": "What happened in the video?",
                          "multi_choice": ["motorboat", …], "answer": 1, "question_relation": "View",
                          "question_type": "Happening", "audio_path": "wavs/-HG3Omg_89c_30.wav", …}

`answer` is the place of the right choice, from 0. `audio_path` is absolute or below <raw>. The questions were asked
about videos: as in R1-AQA, "video" becomes "audio". `task` is the question's type. `relations` keeps some of View,
Sound and Both; R1-AQA trains on all of them, also on those that the publishers call a matter of seeing.
Splits: `train`, and `val` drawn by audio file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogrl.data.corpora.corpus import Reading, Source, within
from cogrl.data.corpora.layout import clip_at, files
from cogrl.data.corpora.questions import Rejected, check_share, choices_of, found_questions, rows, split_questions
from cogrl.types import Example

SOURCE = Source("AVQA", "https://mn.cs.tsinghua.edu.cn/avqa", "see the dataset's page")
_KEYS = ("id", "question_text", "multi_choice", "answer", "audio_path")


def read(
    raw: Path,
    held_out: float = 0.02,
    seed: int = 0,
    relations: Sequence[str] = (),
    keep_order: bool = False,
    partial: bool = False,
) -> Reading:
    """The questions, with their choices in an order drawn by `seed` unless `keep_order`.

    Raises FileNotFoundError without a list, and ValueError, `file:line (id)`, for a row that can not be asked or clips
    that can not be read; `partial` leaves those out, counted and named.
    """
    check_share(held_out)
    expected = "a .jsonl with question_text, multi_choice, answer and audio_path in each line"
    root = within(raw, "*.jsonl", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": []}, root=root, layout=expected)
    rejected = Rejected(reading, partial)

    def question(record: dict[str, Any], name: str) -> Example:
        choices, place = choices_of(record["multi_choice"], name), record["answer"]
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(choices):
            raise ValueError(f"{name}: answer {place!r} is no place in a list of {len(choices)} choices, from 0")
        if not str(record["question_text"]).strip():
            raise ValueError(f"{name}: question_text is empty")
        return Example(
            id=f"avqa-{record['id']}",
            audio=clip_at(root / str(record["audio_path"])),
            question=str(record["question_text"]).strip().replace("video", "audio"),
            choices=choices,
            answer=choices[place],
            task=record.get("question_type") or None,
            language="en",
            synthesis={key: record[key] for key in ("video_name", "question_relation") if key in record},
            source=f"AVQA {SOURCE.url}",
            licence=SOURCE.licence,
        )

    wanted = []
    for name, record in rows(files(root, ".jsonl"), _KEYS, rejected):
        if relations and record.get("question_relation") not in relations:
            reading.dropped[f"question_relation {record.get('question_relation')}"] += 1
        else:
            wanted.append((name, record))
    found = list(found_questions(wanted, question, rejected))
    return split_questions(reading, found, root, held_out, seed, keep_order, partial)
