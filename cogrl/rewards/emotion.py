"""EmoAcc: whether the Perception step names the gold emotion."""

from cogrl.formats.answer import Answer
from cogrl.formats.eips import perceived_emotion
from cogrl.rewards.term import bounded


@bounded(0.0, 1.0)
def emotion_reward(answer: Answer) -> float | None:
    """1 when the Perception step claims exactly the gold emotion, else 0; None where the format is not EIPS.

    Where no emotion is given, naming none earns nothing either. (arXiv:2606.06940, Eq. 3)
    """
    if answer.format != "eips":
        return None
    perceived = perceived_emotion(answer.text)
    return float(perceived is not None and perceived == answer.example.emotion)
