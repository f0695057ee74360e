"""HumDial-EIBench: emotional intelligence asked as multiple choice and as open answers over recorded dialogues, zh, en.

Source: https://huggingface.co/datasets/ASLP-lab/HumDial-EIBench (arXiv:2604.11594), code at
https://github.com/ASLP-lab/HumDial-EIBench under Apache-2.0. A test set only: 1,077 items.
Layout:

    <raw>/{zh,en}/<list>.jsonl (or .json), the digit after "task" or "T" in its name is the task, audio beside it
    {"dialogue_id": …, "turns": [{"input_emotion": …, "input_text": …, …}], "question": …, "options": …, "answer": …}

The folders zh and en, the four tasks and the turn fields are from the official pages. The names of the lists and of the
multiple-choice keys are not described there: `question` or `query`, `choices` or `options` (a list, or an object by
letter) and `answer` or `correct_answer` (a letter, or the text) are read, and a list without them is refused with the
keys that it does have.
Tasks: 1 trajectory, 2 reasoning and 4 conflict (the words contradict the voice, one turn) are multiple choice, chance
25 %; 3 empathy is open and is answered at the second turn that is not neutral.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cogrl.data.corpora.benchmark import LETTERED
from cogrl.data.corpora.corpus import Reading, Source, leaving_out, require, with_audio, within
from cogrl.data.corpora.dialogues import read_dialogues, second_non_neutral, with_clips
from cogrl.data.corpora.layout import files, named
from cogrl.types import Example

SOURCE = Source("HumDial-EIBench", "https://huggingface.co/datasets/ASLP-lab/HumDial-EIBench", "see the dataset's page")
TASKS = {"1": "trajectory", "2": "reasoning", "3": "empathy", "4": "conflict"}
_TASK = re.compile(r"(?:task|T)[-_]?([1-4])", re.I)
_LETTERS = string.ascii_uppercase


def read(raw: Path, partial: bool = False) -> Reading:
    """The benchmark as one split, `test`.

    Raises FileNotFoundError when a language is missing (unless `partial`), and ValueError, naming `file:line` and the
    dialogue, for a broken line, a question without usable choices or clips that can not be read.
    """
    expected = "the folders zh and en with one .jsonl a task"
    root = within(raw, "[ze][hn]/*.json*", SOURCE, expected)
    reading = Reading(SOURCE, {"test": []}, root=root, layout=expected)
    folders = {language: named(root, language) or root / language for language in ("zh", "en")}
    empty = [folder for folder in folders.values() if not files(folder, ".json", ".jsonl")]
    require(empty, SOURCE, partial, reading.dropped)
    refuse = leaving_out("line of a list is broken", partial, reading.dropped)
    found = [example for code, folder in folders.items() for example in _language(folder, code, reading, refuse)]
    reading.splits["test"] = with_audio(found, SOURCE, partial, reading.dropped)
    return reading


def _language(folder: Path, language: str, reading: Reading, refuse: Callable[[str], None]) -> Iterator[Example]:
    for path in files(folder, ".json", ".jsonl"):
        number = _TASK.search(path.stem)
        if number is None:
            reading.dropped[f"unknown task list {path.name}"] += 1
            continue
        task = TASKS[number[1]]
        folders = (folder / path.stem, folder, folder.parent)
        for where, dialogue, spoken in read_dialogues(path, refuse):
            turns = with_clips(str(dialogue["dialogue_id"]), spoken, folders, reading.dropped)
            try:
                asked = {} if task == "empathy" else multiple_choice(dialogue, f"{where} ({dialogue['dialogue_id']})")
            except ValueError as error:
                refuse(str(error))
                continue
            place = second_non_neutral([turn.emotion for turn in turns]) if task == "empathy" else len(turns) - 1
            if place is None:
                reading.dropped["empathy: no second turn that is not neutral"] += 1
                continue
            last = turns[place]
            yield Example(
                id=f"eibench-{language}-{path.stem}-{dialogue['dialogue_id']}",
                audio=last.audio,
                split="test",
                text=last.text,
                text_group=f"eibench-{language}-{dialogue['dialogue_id']}",
                speaker=f"eibench-{language}-{dialogue['dialogue_id']}",
                emotion=last.emotion,
                turns=tuple(turns[:place]),
                task=task,
                language=language,
                source=f"HumDial-EIBench {SOURCE.url}",
                licence=SOURCE.licence,
                **asked,
            )


def multiple_choice(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`question`, `choices` and `answer` (the text of the right choice). Raises ValueError naming what is missing."""
    question = record.get("question") or record.get("query")
    given = record.get("choices") or record.get("options")
    if not question or not given:
        raise ValueError(f"{where}: needs question and options (or query, choices); its keys: {', '.join(record)}")
    by_letter = dict(given) if isinstance(given, dict) else dict(zip(_LETTERS, given, strict=False))
    if len(by_letter) != len(given):
        raise ValueError(f"{where}: has {len(given)} choices; at most {len(_LETTERS)} have a letter")
    choices = _without_letters([str(text) for text in by_letter.values()])
    answer = record.get("answer") or record.get("correct_answer")
    if answer is None:
        raise ValueError(f"{where}: needs answer or correct_answer; its keys: {', '.join(record)}")
    letters = dict(zip((str(letter).strip().upper() for letter in by_letter), choices, strict=True))
    answer = str(answer).strip()
    if answer not in choices:
        lettered = LETTERED.match(answer)
        letter, text = (lettered[1], answer[lettered.end() :]) if lettered else (answer.strip("().").upper(), None)
        right = letters.get(letter)
        if right is None or text not in (None, right):
            raise ValueError(f"{where}: answer {answer!r} is none of {', '.join(map(repr, choices))}")
        answer = right
    return {"question": str(question).strip(), "choices": choices, "answer": answer}


def _without_letters(texts: list[str]) -> tuple[str, ...]:
    """The choices without `A.`, `B.`, … where each has its own letter; "A. Lincoln" among others is a name."""
    matches = [LETTERED.match(text) for text in texts]
    if all(match and match[1] == letter for match, letter in zip(matches, _LETTERS, strict=False)):
        texts = [text[match.end() :] for text, match in zip(texts, matches, strict=True)]
    return tuple(text.strip() for text in texts)
