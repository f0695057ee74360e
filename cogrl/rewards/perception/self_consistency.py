"""The paper's consistency reward: the words of an answer against its other words. (HyPeR, arXiv:2604.14806)

It is here for reproduction and as an ablation. It never looks at the clip, so it can be had without listening: naming
nothing twice is as good as hearing it. `PerceptualConsistency` and `axes` hold the same claims against evidence.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from cogrl.formats.answer import Answer
from cogrl.rewards.perception.axes import RATIONALE, reasoning_agreement
from cogrl.rewards.perception.causes import argues_from_environment
from cogrl.rewards.perception.claims import in_sections, turns_in
from cogrl.rewards.perception.quotes import fidelity, quotes_in
from cogrl.rewards.term import Term
from cogrl.words import units

Axis = Literal["background", "speaker", "answer"]
AXES: tuple[Axis, ...] = ("background", "speaker", "answer")


class SelfConsistency(Term):
    """r_cons as published, in [0, 1]; None in formats without sections.

    Args:
        axis: one of the three; None: their mean.
        variant: the formula of the paper, on the parsed fields (an answer that is not well-formed is worth 0), or that
            of its public code, on the raw text, with all that the code lets pass:

    - background: 0 when the rationale argues from the environment to what was said, else 1. Code: 0 when a word for
      music and a causal word both stand anywhere in DESCRIPTION or REASONING, or there is no THINK; else 1.
    - speaker: the mean over quotations in the thought of the best character similarity with a turn of the answer's own
      ASR. Code: over what is quoted in SPEAKER, by difflib; 0.5 when there is nothing to compare.
    - answer: 1 when the thought concludes what is answered. Code: when the last letter a-d of the thought that looks
      like an option is the last one of the answer.
    """

    def __init__(self, axis: Axis | None = None, variant: Literal["paper", "code"] = "paper") -> None:
        self.axes = AXES if axis is None else (axis,)
        self.formulas = {"paper": _PAPER, "code": _CODE}[variant]

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        return [self._value(answer) if in_sections(answer) else None for answer in answers]

    def _value(self, answer: Answer) -> float:
        return sum(self.formulas[axis](answer) for axis in self.axes) / len(self.axes)


def _background(answer: Answer) -> float:
    fields = answer.fields or {}
    labels, content = units(fields.get("environment", "")), units(f"{fields.get('asr', '')} {answer.said}")
    argues = any(argues_from_environment(fields.get(name, ""), labels, content) for name in RATIONALE)
    return float(bool(fields) and not argues)


def _speaker(answer: Answer) -> float:
    fields = answer.fields or {}
    thought = ("planning", "speaker", "description", "reasoning", "summary")
    quotes = [quote for name in thought for quote in quotes_in(fields.get(name, ""))]
    return fidelity(quotes, turns_in(fields.get("asr", "")))


def _answer(answer: Answer) -> float:
    return reasoning_agreement(answer) or 0.0


_MUSIC = re.compile(r"bgm|background music|music", re.I)
_CAUSAL = re.compile(r"because|therefore|thus|so that|hence", re.I)
_LETTER = re.compile(r"[ABCD]", re.I)


def _code_background(answer: Answer) -> float:
    if not _tag(answer, "THINK"):
        return 0.0
    said = " ".join([_tag(answer, "DESCRIPTION"), _tag(answer, "REASONING")])
    return float(not (_MUSIC.search(said) and _CAUSAL.search(said)))


def _code_speaker(answer: Answer) -> float:
    speaker, asr = _tag(answer, "SPEAKER"), _sentences(_tag(answer, "ASR"))
    if not speaker or not _tag(answer, "ASR"):
        return 0.0
    snippets = (
        [quoted for quoted in re.findall(r"[\"“'](.+?)[\"”']", speaker) if len(quoted) >= 4]
        or [after.strip() for after in re.findall(r":\s*([^\n;]+)", speaker)]
        or _sentences(speaker)
    )
    if not snippets or not asr:
        return 0.5
    ratios = [max(difflib.SequenceMatcher(None, one.lower(), two.lower()).ratio() for two in asr) for one in snippets]
    return sum(ratios) / len(ratios)


def _code_answer(answer: Answer) -> float:
    thought = _tag(answer, "THINK")
    given = _LETTER.findall(_tag(answer, "FINAL_ANSWER") or _tag(answer, "RESPONSE") or answer.text)
    declared = (
        re.findall(r"\(([a-d])\)", thought, re.I)
        or re.findall(r"answer is\s*\(?([a-d])", thought, re.I)
        or _LETTER.findall(thought)
    )
    return float(bool(declared and given) and declared[-1].upper() == given[-1].upper())


def _tag(answer: Answer, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", answer.text, re.S | re.I)
    return found[1].strip() if found else ""


def _sentences(text: str) -> list[str]:
    return [piece.strip() for piece in re.split(r"[.!?\n;]+", text) if piece.strip()]


_PAPER: Mapping[Axis, Callable[[Answer], float]] = {"background": _background, "speaker": _speaker, "answer": _answer}
_CODE: Mapping[Axis, Callable[[Answer], float]] = {
    "background": _code_background,
    "speaker": _code_speaker,
    "answer": _code_answer,
}
