"""Which lines have a thought to train on: two flags, and where a line goes by them. (Echo, arXiv:2602.11909, section 3)

Both right: SFT. Only the answer: RL, without targets. A wrong answer: left out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cogrl.data.recipes.eaqa.plan import FULL
from cogrl.formats.echo import ECHO
from cogrl.formats.segments import SegmentRules, overlap
from cogrl.types import Example

RULES = SegmentRules()
"""Those of sampling, as they are by default."""
WITHOUT_THOUGHT = "rl_more"
"""Lines of sft whose answer is right and whose thought is not; of sft's clips and speakers."""
MANIFESTS = (*FULL, WITHOUT_THOUGHT)


@dataclass(frozen=True)
class Flags:
    """What is wrong with the answer of a target, and what with its thought; empty where nothing is."""

    answer: str = ""
    segments: str = ""


def flags_of(example: Example) -> Flags:
    """The flags of the target `echo` of a line.

    The answer has to be that of the line. The thought has to cite a part of the clip at least, each one that the rules
    take and in which something is heard, with the reason before it and what is found behind it.
    """
    text = example.targets["echo"]
    given = ECHO.answer(text, example)
    answer = "" if given == example.answer else f"its answer is {given!r}, not {example.answer!r}"
    return Flags(answer, _segments(text, example))


def _segments(text: str, example: Example) -> str:
    found = RULES.citations(text, float(example.duration_s or 0))
    refused = [f"{text[one.start : one.end]} is {one.invalid}" for one in found if one.invalid]
    if refused or not found:
        return "; ".join(refused) or "it cites no part of the clip"
    empty = [
        f"nothing is heard in {text[one.start : one.end]}"
        for one in found
        if one.span and not any(overlap(one.span, event) for event in example.events)
    ]
    borders = [(text.find("<think>") + len("<think>"),) * 2, *((one.start, one.end) for one in found)]
    borders.append((text.find("</think>"),) * 2)
    bare = [text[end:start] for (_, end), (start, _) in pairwise(borders) if not text[end:start].strip()]
    return "; ".join(empty) or ("a part that is cited has no text before or behind it" if bare else "")


def routed(rows: Sequence[Example], flags: Mapping[str, Flags]) -> tuple[dict[str, list[Example]], dict[str, str]]:
    """(lines by manifest, reasons of those left out, by id); lines without flags stay as they are.

    A line of another manifest than sft whose thought is wrong is left out.
    """
    manifests: dict[str, list[Example]] = defaultdict(list)
    rejected = {}
    for row in rows:
        flag = flags.get(row.id, Flags())
        if flag.answer or (flag.segments and row.split != "sft"):
            rejected[row.id] = "; ".join(filter(None, (flag.answer, flag.segments)))
        elif flag.segments:
            note = {**row.synthesis, "thought_left_out": flag.segments}
            manifests[WITHOUT_THOUGHT].append(replace(row, split=WITHOUT_THOUGHT, targets={}, synthesis=note))
        else:
            manifests[row.split].append(row)
    return dict(manifests), rejected
