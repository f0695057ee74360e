"""HumDial 2026, track 1 (emotional intelligence): dialogues of 3 to 5 turns, each user turn recorded, zh and en.

Source: https://aslp-lab.github.io/HumDial-Challenge/ and https://github.com/ASLP-lab/Hum-Dial (arXiv:2601.05564).
Licence: for registered participants. Layouts, from the official pages (any of the three folders may be there alone):

    <raw>/train/{zh,en}/task2_3.jsonl with the audio folder task2_3/, …      <raw>/dev/{zh,en}/task2.jsonl, …
    <raw>/HD-Track1-Test/{zh,en}/HD-Track1-T1.jsonl with HD-Track1-T1/{dialogue_id}_{turn_id}.wav

Task numbers changed between the releases: `task1` is recognition of one turn (unranked), `task2` and `HD-Track1-T1`
the trajectory, `task3` and `T2` the reasoning, `task4` and `T3` the empathetic answer. `Example.task` says which.
The turn to answer is the last one, where the user asks about the trajectory or its causes; for empathy it is the
second turn that is not neutral, as in the official eval_task3.py, or the last such turn, as its readme says. Replies of
earlier turns are part of the dialogue. Training lines have the reference response as target B.
Splits: train, dev -> val, test; speakers are not published, so a dialogue counts as its own speaker. Dialogues the
organisers withdrew from the test are dropped.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cogrl.data.corpora.corpus import Reading, Source, leaving_out, require, with_audio, within
from cogrl.data.corpora.dialogues import TARGETS, DialogueTurn, read_dialogues, refuse_record, with_clips
from cogrl.data.corpora.layout import VALIDATION, files, named
from cogrl.types import Example, Turn

SOURCE = Source("HumDial track 1", "https://aslp-lab.github.io/HumDial-Challenge/", "registered participants")
FOLDERS = {"train": ("train",), "val": VALIDATION, "test": ("HD-Track1-Test", "test")}
"""By split, what its folder is called, in any case."""
TASKS = {
    "task1": "recognition",
    "task2": "trajectory",
    "task3": "reasoning",
    "task4": "empathy",
    "HD-Track1-T1": "trajectory",
    "HD-Track1-T2": "reasoning",
    "HD-Track1-T3": "empathy",
}
CODES = ("zh", "en")
"""Languages of the challenge."""
WITHDRAWN = re.compile(r"task2_4_en_0002_0014|task2_[345]_zh_0015.*")
_EXPECTED = "one of train/{zh,en}/*.jsonl, dev/{zh,en}/*.jsonl, HD-Track1-Test/{zh,en}/*.jsonl"


@dataclass(frozen=True)
class ChallengeDialogue:
    """A dialogue of the test: its user turns as published (their labels untouched), and the same with audio."""

    id: str
    published: Sequence[DialogueTurn]
    turns: Sequence[Turn]


def challenge_dialogues(raw: Path, language: str, task: int) -> list[ChallengeDialogue]:
    """The dialogues of HD-Track1-T1, T2 or T3 in zh or en, those withdrawn left out.

    Raises FileNotFoundError where the list is not there, and ValueError, naming `file:line`, for a broken line.
    """
    root = within(raw, "*/[ze][hn]/*.jsonl", SOURCE, _EXPECTED)
    test = named(root, *FOLDERS["test"])
    folder = test and named(test, language)
    path = folder and named(folder, f"HD-Track1-T{task}.jsonl")
    if path is None:
        raise FileNotFoundError(f"{root}: HD-Track1-Test/{language}/HD-Track1-T{task}.jsonl is missing")
    read = ((str(record["dialogue_id"]), spoken) for _, record, spoken in read_dialogues(path, refuse_record))
    return [
        ChallengeDialogue(name, spoken, with_clips(name, spoken, _folders(path), Counter()))
        for name, spoken in read
        if not WITHDRAWN.fullmatch(name)
    ]


def _folders(path: Path) -> tuple[Path, ...]:
    """Where the audio of a list may be."""
    return path.with_suffix(""), path.parent, path.parent.parent


def read(raw: Path, empathy_turn: Literal["second", "last"] = "second", partial: bool = False) -> Reading:
    """The dialogues whose folders are there, one example each.

    Raises FileNotFoundError when there is none of the folders or, unless `partial`, when one of them lacks a language,
    and ValueError, naming `file:line`, for a broken line or for clips that can not be read.
    """
    root = within(raw, "*/[ze][hn]/*.jsonl", SOURCE, _EXPECTED)
    reading = Reading(SOURCE, {name: [] for name in FOLDERS}, ("text_group", "speaker"), root=root, layout=_EXPECTED)
    there = {split: folder for split, names in FOLDERS.items() if (folder := named(root, *names))}
    lists = {(split, code): named(folder, code) or folder / code for split, folder in there.items() for code in CODES}
    require([path for path in lists.values() if not files(path, ".jsonl")], SOURCE, partial, reading.dropped)
    refuse = leaving_out("line of a list is broken", partial, reading.dropped)
    found = [
        example
        for (split, language), folder in lists.items()
        for example in _language(folder, split, language, empathy_turn, reading, refuse)
    ]
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    return reading


def _language(
    folder: Path, split: str, language: str, empathy_turn: str, reading: Reading, refuse: Callable[[str], None]
) -> Iterator[Example]:
    for path in files(folder, ".jsonl"):
        stem = path.stem.lower()
        task = next((task for prefix, task in TASKS.items() if stem.startswith(prefix.lower())), None)
        if task is None:
            reading.dropped[f"unknown task list {path.name}"] += 1
            continue
        for _, dialogue, spoken in read_dialogues(path, refuse):
            name = str(dialogue["dialogue_id"])
            turns = with_clips(name, spoken, _folders(path), reading.dropped)
            if split == "test" and WITHDRAWN.fullmatch(name):
                reading.dropped["withdrawn by the organisers"] += 1
                continue
            place = TARGETS[empathy_turn]([turn.emotion for turn in turns]) if task == "empathy" else len(turns) - 1
            if place is None:
                reading.dropped["empathy: no second turn that is not neutral"] += 1
                continue
            if place == 0 and turns[0].emotion is None:
                reading.dropped["a single turn without a label"] += 1
                continue
            yield _example(f"{split}-{language}-{path.stem}-{name}", name, turns[: place + 1], split, task, language)


def _example(name: str, dialogue: str, turns: list[Turn], split: str, task: str, language: str) -> Example:
    last = turns[-1]
    return Example(
        id=f"humdial-{name}",
        audio=last.audio,
        split=split,
        text=last.text,
        text_group=f"humdial-{split}-{language}-{dialogue}",
        speaker=f"humdial-{split}-{language}-{dialogue}",
        emotion=last.emotion,
        turns=tuple(turns[:-1]),
        task=task,
        language=language,
        targets={"direct": last.reply} if last.reply else {},
        source=f"HumDial 2026 track 1 {SOURCE.url}",
        licence=SOURCE.licence,
    )
