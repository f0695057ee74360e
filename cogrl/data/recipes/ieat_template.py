"""The offline thinker: English thoughts from LIME-mini's clauses, with the cause in the user's own words."""

import random
from collections.abc import Sequence

from cogrl.data.recipes.ieat_checks import validate_thought
from cogrl.data.recipes.ieat_dialogue import Dialogue, Thinker, Thought, Thoughts
from cogrl.data.recipes.lime_lexicon import DEGREE, VOICE
from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING

_THINKING = (
    "I hear a {voice}. The user feels {emotion}, because they told me {cause}.",
    "What I hear is a {voice}, and it carries {emotion}. It comes from what they said before, {cause}.",
    "Such a {voice} tells me of {emotion}, and the reason lies further back: {cause}.",
)


class TemplateThinker(Thinker):
    """Draws clauses by the dialogue's id. The cause is the turn the plan names, else the last one that felt the same.

    Dialogues in another language than English are rejected, as is what fails the checks of `ieat_checks`.
    """

    version = "templates 1"

    def think(self, dialogues: Sequence[Dialogue]) -> Thoughts:
        thoughts, rejected = {}, {}
        for dialogue in dialogues:
            if dialogue.language not in (None, "en"):
                rejected[dialogue.id] = f"the templates are English, the dialogue is {dialogue.language}"
                continue
            thought = self._thought(dialogue, random.Random(dialogue.id))
            reason = validate_thought(dialogue, thought)
            if reason is None:
                thoughts[dialogue.id] = thought
            else:
                rejected[dialogue.id] = reason
        return Thoughts(thoughts, rejected)

    def _thought(self, dialogue: Dialogue, rng: random.Random) -> Thought:
        emotion, intensity = dialogue.emotion, dialogue.intensity or "mid"
        alike = [turn for turn, felt in enumerate(dialogue.emotions[:-1]) if felt == emotion]
        turn = dialogue.cause if dialogue.cause is not None else (alike or [len(dialogue.texts) - 2])[-1]
        cause = f'"{" ".join(dialogue.texts[turn].split()).rstrip(".!?")}"'
        voice = DEGREE[intensity] + rng.choice(VOICE[emotion])
        thinking = rng.choice(_THINKING).format(voice=voice, emotion=emotion, cause=cause)
        clauses = (OPENING[emotion][intensity], NEED[emotion], ACTION[emotion])
        return Thought(thinking, cause, " ".join(rng.choice(options) for options in clauses))
