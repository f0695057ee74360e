"""AudioMCQ, multiple-choice questions whose answer needs the audio: the published StrongAC snapshot with its clips.

Source: https://huggingface.co/datasets/Harland/AudioMCQ-StrongAC-GeminiCoT, a part of
https://huggingface.co/datasets/inclusionAI/AudioMCQ (arXiv:2509.21060). Licence: Apache-2.0 for the questions; clips
keep the terms of their sources. Layout, from public programs that read the snapshot:

    <raw>/data.jsonl     {"id": …, "source_dataset": "Clotho", "question_type": …, "audio_path": "…/x.wav" (or .mp3),
                          "question": …, "choices": [four texts], "answer": the text of one, "gemini_cot": …}

Where rows say `audio-contribution`, `contribution` keeps those with this value, such as strong. `task` is the type of
the question. The thoughts in `gemini_cot` are not read: their form is not described. Clips have various rates: train
with `data.convert: true`. Splits: `train`, and `val` drawn by audio file.
"""

from pathlib import Path
from typing import Any

from cogrl.data.corpora.corpus import Reading, Source, within
from cogrl.data.corpora.layout import clip_at, named
from cogrl.data.corpora.questions import Rejected, check_share, choices_of, found_questions, rows, split_questions
from cogrl.types import Example

SOURCE = Source(
    "AudioMCQ",
    "https://huggingface.co/datasets/Harland/AudioMCQ-StrongAC-GeminiCoT",
    "Apache-2.0 (questions); clips as their sources",
)
_KEYS = ("id", "audio_path", "question", "choices", "answer")
_CONTRIBUTION = "audio-contribution"


def read(
    raw: Path,
    held_out: float = 0.02,
    seed: int = 0,
    contribution: str | None = None,
    keep_order: bool = False,
    partial: bool = False,
) -> Reading:
    """The questions, with their choices in an order drawn by `seed` unless `keep_order`.

    Raises FileNotFoundError without data.jsonl, and ValueError, `file:line (id)`, for a row that can not be asked, for
    rows without the `contribution` that is asked for, or for clips that can not be read; `partial` leaves those out,
    counted and named.
    """
    check_share(held_out)
    expected = "data.jsonl beside the clips"
    root = within(raw, "data.jsonl", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": []}, root=root, layout=expected)
    rejected = Rejected(reading, partial)

    def question(record: dict[str, Any], name: str) -> Example:
        choices, answer = choices_of(record["choices"], name), str(record["answer"]).strip()
        if answer not in choices:
            raise ValueError(f"{name}: answer {answer!r} is none of {', '.join(map(repr, choices))}")
        if not str(record["question"]).strip():
            raise ValueError(f"{name}: question is empty")
        return Example(
            id="-".join(["audiomcq", *filter(None, [record.get("source_dataset")]), str(record["id"])]),
            audio=clip_at(root / str(record["audio_path"])),
            question=str(record["question"]).strip(),
            choices=choices,
            answer=answer,
            task=record.get("question_type") or None,
            language="en",
            synthesis={key: record[key] for key in ("source_dataset", _CONTRIBUTION) if key in record},
            source=f"AudioMCQ {SOURCE.url}",
            licence=SOURCE.licence,
        )

    keys = (*_KEYS, *([_CONTRIBUTION] if contribution else []))
    wanted = []
    for name, record in rows([named(root, "data.jsonl") or root / "data.jsonl"], keys, rejected):
        if contribution and record[_CONTRIBUTION] != contribution:
            reading.dropped[f"{_CONTRIBUTION} {record[_CONTRIBUTION]}"] += 1
        else:
            wanted.append((name, record))
    found = list(found_questions(wanted, question, rejected))
    return split_questions(reading, found, root, held_out, seed, keep_order, partial)
