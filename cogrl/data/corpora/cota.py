"""CoTA, multiple-choice questions with thoughts, in the lines that HyPeR and Audio-Reasoner train on.

Source: https://github.com/JOY-SWang/HyPeR (arXiv:2604.14806), from https://github.com/xzf-thu/Audio-Reasoner
(arXiv:2503.02318). Licence: see the dataset's page. Layout, as it is published; the name of the list is free:

    <raw>/<list>.jsonl   {"id": …, "instruction": "<audio>How many people …? (a) one (b) two (c) three (d) four",
                          "output": "<THINK><PLANNING>…</PLANNING>…</THINK><RESPONSE>(b) two</RESPONSE>",
                          "audios": ["…/audio/x.wav"]}

A path is absolute or below <raw>. The right choice is what the answer names, strictly read: FINAL_ANSWER where there is
one, else RESPONSE. Target `choice` is its text. A thought that parses is a target, too: `paqa` with all sections of
that format, `think_choice` with those of CoTA (PLANNING, CAPTION, REASONING, SUMMARY). Where it says "(b)", the text of
the choice takes its place, for the choices come in another order here; a thought that calls choices by letter in
another way is left out. Splits: `train`, and `val` drawn by audio file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from cogrl.formats.paqa import PAQA
from cogrl.formats.schema import Schema, Tag, Text
from cogrl.formats.think_choice import THINK_CHOICE
from cogrl.types import Example

SOURCE = Source("CoTA", "https://github.com/JOY-SWang/HyPeR", "see the dataset's page")
_KEYS = ("id", "instruction", "output", "audios")
_SECTIONS = ("planning", "caption", "reasoning", "summary")
_COTA = Schema(Tag("THINK", *(Tag(name.upper(), Text(name)) for name in _SECTIONS)), Tag("RESPONSE", Text("response")))
_MARK = re.compile(r"\(([a-z])\)", re.I)
_LETTER = re.compile(r"\b(?i:options?|choices?|answers?)(?:\s+(?:is|are|would be))?\s*:?\s*[\"'“(*]*[A-Z]\b(?![a-z'’])")
_SHOWN = 20


def read(
    raw: Path,
    held_out: float = 0.02,
    seed: int = 0,
    keep_order: bool = False,
    only_traces: bool = False,
    partial: bool = False,
) -> Reading:
    """The questions, with their choices in an order drawn by `seed` unless `keep_order`.

    `only_traces` rejects rows whose thought does not parse; else they are there with the target `choice` alone, counted
    and named on the card. Raises FileNotFoundError without a list, and ValueError, `file:line (id)`, for a row that can
    not be asked or clips that can not be read; `partial` leaves those out, counted by reason and named.
    """
    check_share(held_out)
    expected = "a .jsonl with instruction, output, audios and id in each line"
    root = within(raw, "*.jsonl", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": []}, root=root, layout=expected)
    rejected, traceless = Rejected(reading, partial), []

    def question(record: dict[str, Any], name: str) -> Example:
        example = _asked(record, name, root)
        try:
            return replace(example, targets=example.targets | _thought(str(record["output"]), example))
        except Unusable as error:
            if only_traces:
                raise Unusable(error.reason, f"{name}: {error}") from error
            traceless.append(f"{name}: {error}")
            return example

    found = list(found_questions(rows(files(root, ".jsonl"), _KEYS, rejected), question, rejected))
    if traceless:
        reading.notes.append(f"{len(traceless)} rows have no thought to learn from, only the target choice")
        reading.notes += [f"no thought: {message}" for message in traceless[:_SHOWN]]
    return split_questions(reading, found, root, held_out, seed, keep_order, partial)


def _asked(record: Mapping[str, Any], name: str, root: Path) -> Example:
    """The question with its answer. Raises Unusable for a row without options, answer or clip of its own."""
    audios = record["audios"]
    if not isinstance(audios, list) or len(audios) != 1 or not isinstance(audios[0], str):
        raise Unusable("row with none or several clips", f"{name}: audios must hold one path, got {audios!r}")
    question, options = split_options(str(record["instruction"]))
    if len(options) < 2 or not question:
        raise Unusable(
            "question without options", f"{name}: no question followed by (a) …, (b) … in {record['instruction']!r}"
        )
    example = Example(
        id=f"cota-{record['id']}",
        audio=clip_at(root / audios[0]),
        question=question,
        choices=choices_of(options, name),
        language="en",
        source=f"CoTA {SOURCE.url}",
        licence=SOURCE.licence,
    )
    answer = PAQA.answer(str(record["output"]), example)
    if not answer:
        behind = str(record["output"]).rpartition("</THINK>")[2].strip()
        listed = ", ".join(map(repr, example.choices))
        raise Unusable("answer names no option", f"{name}: answer {behind[:120]!r} names none of {listed}")
    return replace(example, answer=answer, targets={"choice": answer})


def split_options(instruction: str) -> tuple[str, list[str]]:
    """The question of an instruction, without `<audio>`, and the texts behind its last "(a)", "(b)", … in order."""
    text = instruction.replace("<audio>", " ")
    marks = list(_MARK.finditer(text))
    starts = [number for number, mark in enumerate(marks) if mark[1].lower() == "a"]
    if not starts:
        return " ".join(text.split()), []
    found: list[re.Match[str]] = []
    for mark in marks[starts[-1] :]:
        if mark[1].lower() == chr(ord("a") + len(found)):
            found.append(mark)
    ends = [*(mark.start() for mark in found[1:]), len(text)]
    options = [text[mark.end() : end].strip(" \t\r\n,;") for mark, end in zip(found, ends, strict=True)]
    return " ".join(text[: found[0].start()].split()), options


def _thought(output: str, example: Example) -> dict[str, str]:
    """The target that its thought makes. Raises Unusable where there is none that any order of choices leaves right."""
    answer = str(example.answer)
    trace, thought = PAQA.parse(output), _COTA.parse(output)
    fields = {name: _by_text(text, example.choices) for name, text in (trace or thought or {}).items()}
    if not fields:
        raise Unusable("thought that does not parse", "its tags are missing, repeated, not closed or nested otherwise")
    lettered = next((found[0] for text in fields.values() if (found := _LETTER.search(text))), None)
    if lettered:
        raise Unusable("thought that calls choices by letter", f"it says {lettered!r}, and the order changes")
    try:
        if trace:
            said = dict.fromkeys(("response", "final_answer"), answer) if "reflect" not in fields else {}
            return {"paqa": PAQA.render(fields | said)}
        thinking = "\n".join(fields[name] for name in _SECTIONS)
        return {"think_choice": THINK_CHOICE.render({"thinking": thinking, "answer": answer})}
    except ValueError as error:
        raise Unusable("thought that does not parse", str(error)) from error


def _by_text(text: str, choices: Sequence[str]) -> str:
    """The text with "(b)" and "(b) two" as the second choice says it."""
    by_letter = {chr(ord("a") + place): choice for place, choice in enumerate(choices)}
    named = "|".join(rf"\({letter}\)(?:\s*{re.escape(choice)})?" for letter, choice in by_letter.items())
    return re.sub(named, lambda match: by_letter[match[0][1].lower()], text, flags=re.I)
