"""Whether a text argues from the sound around the speech to what was said: a small parse of causes and effects."""

import re
from collections.abc import Collection, Iterator

from cogrl.rewards.grammar import FUNCTION, word_set
from cogrl.types import Example
from cogrl.words import units

CUES = word_set("background environment environmental ambient ambience noise noisy music bgm")
"""Words for the environment whatever it is; the labels of a clip come on top."""
SAYING = word_set(
    """say says said saying spoken word words sentence utterance utters mention mentions mentioned ask asks asked
    answers answered reply replies replied transcript"""
)
SPEECH = SAYING | word_set(
    "speak speaks spoke speaking speaker speakers speech voice voices talk talks talking who whom"
)
_SENTENCE = re.compile(r"[.!?;\n]+")
_BACKWARD = re.compile(
    r"\b(?:because(?: of)?|since|due to|owing to|thanks to|given|as a result of|caused by|judging by|based on)\b", re.I
)
"""The cause follows: `Y because X`, or `because X, Y`."""
_FORWARD = re.compile(
    r"\b(?:therefore|thus|hence|consequently|so(?! (?:far|\w+ that)\b)|which means|this means|means that|implies|"
    r"suggests|indicates|shows that|must mean)\b",
    re.I,
)
"""The cause stands before: `X, so Y`."""
_DENIED = re.compile(r"\b(?:not|never|no|n't)\s*$", re.I)


def arguments(text: str) -> Iterator[tuple[str, str]]:
    """Cause and effect of every argument in a text; one that is denied ("not because of the rain") is none."""
    for sentence in _SENTENCE.split(text):
        for found in _BACKWARD.finditer(sentence):
            before, after = sentence[: found.start()], sentence[found.end() :]
            if _DENIED.search(before):
                continue
            if units(before):
                yield after, before
            else:
                cause, _, effect = after.partition(",")
                yield cause, effect
        for found in _FORWARD.finditer(sentence):
            yield sentence[: found.start()], sentence[found.end() :]


def argues_from_environment(text: str, labels: Collection[str], content: Collection[str]) -> bool:
    """Whether an environment cue is a cause of which the effect is what was said.

    `labels` are the words of the clip's labels, `content` those of what was said or answered. A cause that names speech
    as well ("since low says so in the rain") argues from the speech.
    """
    cues = CUES | (set(labels) - FUNCTION)
    spoken = SAYING | (set(content) - FUNCTION - cues)
    return any(
        not cues.isdisjoint(units(cause)) and SPEECH.isdisjoint(units(cause)) and not spoken.isdisjoint(units(effect))
        for cause, effect in arguments(text)
    )


def asks_about_environment(example: Example) -> bool:
    """Whether a question is about what is heard around the speech: it, its choices or its answer name that.

    A question that names speech ("what was said in the noise") is about speech.
    """
    asked = set(units(example.question or ""))
    offered = set(units(" ".join([*example.choices, example.answer or ""])))
    cues = CUES | (set(units(example.environment or "")) - FUNCTION)
    return SPEECH.isdisjoint(asked) and not cues.isdisjoint(asked | offered)
