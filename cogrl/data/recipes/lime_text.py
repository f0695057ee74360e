"""Targets of both formats for LIME-mini and LIME: the thought and the reply, conditioned on the gold emotion.

The wording of a LIME sentence says nothing about the emotion, so the targets are a function of (emotion, intensity,
scenario) alone, as in the LIME annotation step (arXiv:2606.06940, section 2: the annotator reads text and label, never
the audio). Short English, a few hundred words of vocabulary: a model of a few million weights learns it on a CPU.
"""

import random
import re
from collections.abc import Sequence

from cogrl.data.recipes.lime_lexicon import DEGREE, INTENT, PSYCHOLOGY, STRATEGY, TOPICS, VOICE
from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.formats.eips import EIPS
from cogrl.types import Emotion, Intensity

_PHRASES = {name: scenario.phrase for name, scenario in SCENARIOS.items()} | TOPICS


def targets(emotion: Emotion, intensity: Intensity, scenario: str, text: str, rng: random.Random) -> dict[str, str]:
    """`eips`: a thought and a reply of about 45-60 words. `direct`: the reply alone, 12-20 words, no tags.

    Clauses are drawn with `rng`; reply clauses that would repeat a content word of `text` are avoided while another is
    left, so that a reply never gives itself away by copying. Raises KeyError for an unknown scenario.
    """
    if scenario not in _PHRASES:
        raise KeyError(f"unknown LIME scenario {scenario!r}; known: {', '.join(_PHRASES)}")
    clauses = (OPENING[emotion][intensity], NEED[emotion], ACTION[emotion])
    response = " ".join(rng.choice(_fresh(options, text)) for options in clauses)
    thought = {
        "perception": f"{emotion}, {intensity}: {DEGREE[intensity]}{rng.choice(VOICE[emotion])}",
        "intent": rng.choice(INTENT[emotion]).format(_PHRASES[scenario]),
        "psychology": rng.choice(PSYCHOLOGY[emotion]),
        "strategy": rng.choice(STRATEGY[emotion]),
        "response": response,
    }
    return {"eips": EIPS.render(thought), "direct": response}


def _fresh(clauses: Sequence[str], text: str) -> Sequence[str]:
    """The clauses that share no word of five letters or more with `text`; all of them if none is left."""
    return [clause for clause in clauses if not _content(clause) & _content(text)] or clauses


def _content(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{5,}", text.lower()))
