"""MMAU: 10,000 multiple-choice questions about sounds, music and speech; test-mini (1,000) has answers, test has none.

Source: https://github.com/Sakshi113/MMAU (arXiv:2410.19168). The lists were revised (MMAU-v05.15.25, a quarter of the
questions) under the same file names, so numbers are only comparable when the version is named; the card records the
hash of the list. Layout:

    <raw>/mmau-test-mini.json, <raw>/mmau-test.json      [{"id": ..., "audio_id": "./test-mini-audios/<id>.wav",
        "question": ..., "choices": [...], "answer": ..., "dataset": ..., "task": "sound"|"music"|"speech",
        "split": "test-mini"|"test", "category": ..., "sub-category": ..., "difficulty": ...}, ...]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogrl.data.corpora.benchmark import Item, Reading, Source, named_choice, needed, read_benchmark, texts

SOURCE = Source("MMAU", "https://github.com/Sakshi113/MMAU", "see the repository; research use of third-party clips")
SPLITS = ("test-mini", "test")


def read(raw: Path, partial: bool = False) -> Reading:
    """The splits `test-mini` and `test`, whichever lists are there. See `read_benchmark` for what it refuses."""
    expected = "mmau-test-mini.json or mmau-test.json with the folders of clips beside it"
    return read_benchmark(raw, SOURCE, "mmau-test", expected, SPLITS, item, partial)


def item(record: Mapping[str, Any]) -> Item:
    """The question of a row; its task is `sound`, `music` or `speech`. Raises ValueError for what is missing."""
    choices = texts(record.get("choices"))
    return Item(
        id=needed(record, "id"),
        audio=needed(record, "audio_id"),
        question=needed(record, "question"),
        choices=choices,
        answer=named_choice(record.get("answer"), choices),
        task=needed(record, "task"),
        split=needed(record, "split"),
    )
