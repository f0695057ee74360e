"""MMSU: 5,000 multiple-choice questions about spoken language, 47 tasks of perception and reasoning.

Source: https://github.com/dingdongwang/MMSU_Bench and https://huggingface.co/datasets/ddwang2000/MMSU
(arXiv:2506.04779). Layout, the list anywhere below the folder, JSON lines or an array whatever its suffix says:

    <raw>/question/mmsu.jsonl      {"id": ..., "audio_path": ..., "question": ..., "choice_a": ..., "choice_b": ...,
        "choice_c": ..., "choice_d": ..., "answer_gt": <the text of a choice>, "task_name": ...,
        "category": ..., "sub-category": ..., "sub-sub-category": ..., "linguistics_sub_discipline": ...}

A question with two or three choices has null (or nothing) in the last ones.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogrl.data.corpora.benchmark import Item, Reading, Source, named_choice, needed, read_benchmark, texts

SOURCE = Source("MMSU", "https://huggingface.co/datasets/ddwang2000/MMSU", "MIT")
CHOICES = {"A": "choice_a", "B": "choice_b", "C": "choice_c", "D": "choice_d"}


def read(raw: Path, partial: bool = False) -> Reading:
    """The benchmark as one split, `test`. See `read_benchmark` for what it refuses."""
    expected = "mmsu.jsonl (or .json), in the folder itself or one below it, with the folder audio beside it"
    return read_benchmark(raw, SOURCE, "mmsu", expected, ("test",), item, partial)


def item(record: Mapping[str, Any]) -> Item:
    """The question of a row; its task is `task_name`. Raises ValueError for what is missing."""
    given = [record.get(key) for key in CHOICES.values()]
    while given and given[-1] in (None, ""):
        given.pop()
    choices = texts(given)
    return Item(
        id=needed(record, "id"),
        audio=needed(record, "audio_path", "audio"),
        question=needed(record, "question"),
        choices=choices,
        answer=named_choice(needed(record, "answer_gt"), choices),
        task=needed(record, "task_name"),
    )
