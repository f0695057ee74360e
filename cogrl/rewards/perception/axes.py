"""The paper's three axes of consistency, against evidence instead of the model's own words. (HyPeR, arXiv:2604.14806)

Each is 0 for an answer that is not well-formed, and does not apply in formats without sections.
"""

import re
from collections.abc import Mapping

from cogrl.formats.answer import Answer
from cogrl.formats.chosen import chosen
from cogrl.rewards.perception.causes import argues_from_environment, asks_about_environment
from cogrl.rewards.perception.claims import in_sections, plain_name
from cogrl.rewards.perception.quotes import fidelity, quotes_in
from cogrl.rewards.term import bounded
from cogrl.types import Example
from cogrl.words import units, words

RATIONALE = ("description", "reasoning", "summary", "reflect")
"""The fields that argue."""
_SENTENCES = re.compile(r"(?<=[.!?])\s+|[;\n]+")
_THEREFORE = re.compile(r"^\W*(?:so|therefore|thus|hence|in conclusion|in summary)\b[\s,:]*", re.I)


@bounded(0.0, 1.0)
def background_robustness(answer: Answer) -> float | None:
    """r_bgs: 0 when the rationale argues from the environment to what was said, else 1.

    None for a question about the environment, where that is a legitimate argument; a rationale without a word is 0.
    """
    if not in_sections(answer) or asks_about_environment(answer.example):
        return None
    if answer.fields is None or not units(answer.fields["reasoning"]):
        return 0.0
    return float(not _argues(answer.fields, answer))


@bounded(0.0, 1.0)
def speaker_fidelity(answer: Answer) -> float | None:
    """r_fid: how well the quotations of the rationale agree with the line's own turns; 0 where nobody is quoted.

    None for a line without `speech`. Copying the transcript of the answer into its reasoning gains nothing.
    """
    speech = answer.example.speech
    if not in_sections(answer) or not speech:
        return None
    quotes = [quote for name in RATIONALE for quote in quotes_in((answer.fields or {}).get(name, ""))]
    return fidelity(quotes, [(plain_name(turn.speaker), turn.text) for turn in speech])


@bounded(0.0, 1.0)
def reasoning_agreement(answer: Answer) -> float | None:
    """r_ra: 1 when the thought concludes what is then answered, else 0.

    The conclusion is the one choice that the summary names by the strict parser, else the last sentence of the
    reasoning; one that names none, or several, concludes nothing.
    """
    if not in_sections(answer):
        return None
    if answer.fields is None or not answer.said:
        return 0.0
    return float(conclusion(answer.fields, answer.example) == _comparable(answer.said, answer.example))


def conclusion(fields: Mapping[str, str], example: Example) -> str | None:
    """What a thought concludes: a choice, or the words of an open answer."""
    if not example.choices:
        return words(fields["summary"]) or None
    named = {_named(sentence, example) for sentence in _SENTENCES.split(fields["summary"])} - {None}
    if not named:
        named = {_named(_SENTENCES.split(fields["reasoning"].strip())[-1], example)}
    return named.pop() if len(named) == 1 else None


def _named(sentence: str, example: Example) -> str | None:
    return chosen(_THEREFORE.sub("", sentence), example.choices)


def _comparable(said: str, example: Example) -> str:
    return said if example.choices else words(said)


def _argues(fields: Mapping[str, str], answer: Answer) -> bool:
    names = {word for turn in answer.example.speech for word in units(turn.speaker)}
    turns = [turn.text for turn in answer.example.speech]
    content = set(units(" ".join([fields["asr"], answer.said, *turns]))) - names
    labels = units(f"{answer.example.environment or ''} {fields['environment']}")
    return any(argues_from_environment(fields.get(name, ""), labels, content) for name in RATIONALE)
