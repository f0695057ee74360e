"""Replies that explore: LIME-mini's opening and need, then a question after the feeling in place of a next step.

What RE-LLM measures is how strongly replies react and explore (arXiv:2602.10716, EPITOME's ER and EX), and LIME-mini's
replies ask next to nothing. `ExploringAnnotator` writes them for a manifest; `levels` is the rule by which replies that
are put together of such clauses are rated, and so the truth of the embedded rated corpus (`cogrl build epitome-mini`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cogrl.data.recipes.annotate import Annotations, Annotator, TemplateAnnotator, Utterance
from cogrl.data.recipes.lime_replies import NEED, OPENING
from cogrl.formats.eips import EIPS
from cogrl.types import Emotion

QUESTION: dict[Emotion, list[str]] = {
    "anger": ["What made you so angry?", "What felt most unfair to you?", "Who crossed a line with you?"],
    "happy": ["What makes you so proud?", "Which part made you happiest?", "Who will you celebrate with?"],
    "sad": ["What hurts you the most?", "Whom do you miss the most?", "How long have you felt sad?"],
    "surprise": ["What had you expected instead?", "What surprised you the most?", "Which part shocked you so much?"],
    "fear": ["What scares you the most?", "What are you afraid could happen?", "What would make you feel safe?"],
    "disgust": ["What disgusts you the most?", "What made you feel so sick?", "What do you want to avoid?"],
    "neutral": ["What do you need next?", "When does it have to be done?", "Is there anything else to note?"],
}
"""After the feeling that the speaker has; those of neutral ask after the matter."""


def clauses(emotion: Emotion) -> list[str]:
    """Every clause that is meant for a speaker in this emotion."""
    openings = [clause for part in OPENING[emotion].values() for clause in part]
    return [*openings, *NEED[emotion], *QUESTION[emotion]]


@dataclass(frozen=True)
class Reply:
    """A reply by its clauses, and the emotion that each of them is meant for; None where the clause is left out."""

    opening: Emotion | None
    need: Emotion | None
    question: Emotion | None

    def said(self, rng: random.Random) -> str:
        """The clauses, drawn with `rng`; an opening of any intensity."""
        clauses = []
        if self.opening:
            clauses.append(rng.choice([clause for part in OPENING[self.opening].values() for clause in part]))
        if self.need:
            clauses.append(rng.choice(NEED[self.need]))
        if self.question:
            clauses.append(rng.choice(QUESTION[self.question]))
        return " ".join(clauses)


def levels(reply: Reply, emotion: Emotion) -> dict[str, int]:
    """How strongly a reply reacts (`ER`) to a speaker in this emotion and explores (`EX`) it: 0 none, 1 weak, 2 strong.

    EPITOME's scale (arXiv:2009.08441, table 1) on these clauses. A reaction is strong where it names or shares the
    speaker's feeling, weak where it only speaks to the need, none where it is to another feeling or there is none to
    react to. A question after the speaker's feeling is a strong exploration, any other a weak one.
    """
    felt = None if emotion == "neutral" else emotion
    reaction = 2 if reply.opening and reply.opening == felt else int(bool(reply.need) and reply.need == felt)
    exploration = 2 if reply.question and reply.question == felt else int(bool(reply.question))
    return {"ER": reaction, "EX": exploration}


class ExploringAnnotator(Annotator):
    """The targets of `TemplateAnnotator` with a question after the feeling at the end of each reply."""

    version = "exploring templates 1"

    def annotate(self, utterances: Sequence[Utterance]) -> Annotations:
        """Rejects what `TemplateAnnotator` does."""
        made = TemplateAnnotator().annotate(utterances)
        emotions = {spoken.id: spoken.emotion for spoken in utterances}
        written = {name: asking(targets, emotions[name], name) for name, targets in made.targets.items()}
        return replace(made, targets=written)


def asking(targets: dict[str, str], emotion: Emotion, name: str) -> dict[str, str]:
    """Targets whose reply is an opening and a need of this emotion and a question, drawn by `name`."""
    reply = Reply(emotion, emotion, emotion).said(random.Random(name))
    return {"eips": EIPS.render(dict(EIPS.parse(targets["eips"]) or {}) | {"response": reply}), "direct": reply}
