"""MMAR: 1,000 multiple-choice questions that need several steps of reasoning about sound, music, speech and mixtures.

Source: https://github.com/ddlBoJack/MMAR and https://huggingface.co/datasets/BoJack/MMAR (arXiv:2505.13032). Layout:

    <raw>/MMAR-meta.jsonl (earlier: MMAR-meta.json, an array)      {"id": ..., "audio_path": "./audio/<name>.wav",
        "question": ..., "choices": [...], "answer": ..., "modality": ..., "category": ..., "sub-category": ...,
        "language": ..., ...}

`language` is the one spoken in the clip; the questions are English, so it does not become the example's language.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogrl.data.corpora.benchmark import Item, Reading, Source, named_choice, needed, read_benchmark, texts

SOURCE = Source("MMAR", "https://huggingface.co/datasets/BoJack/MMAR", "see the dataset's page")


def read(raw: Path, partial: bool = False) -> Reading:
    """The benchmark as one split, `test`. See `read_benchmark` for what it refuses."""
    expected = "MMAR-meta.jsonl (or .json) with the folder audio beside it"
    return read_benchmark(raw, SOURCE, "MMAR-meta", expected, ("test",), item, partial)


def item(record: Mapping[str, Any]) -> Item:
    """The question of a row; its task is the modality, such as `mix-sound-speech`. Raises ValueError for what lacks."""
    choices = texts(record.get("choices"))
    return Item(
        id=needed(record, "id"),
        audio=needed(record, "audio_path"),
        question=needed(record, "question"),
        choices=choices,
        answer=named_choice(needed(record, "answer"), choices),
        task=needed(record, "modality"),
    )
