"""EmoAcc: did the thought perceive the emotion that the voice carries?"""

from cogrl.formats.eips import perceived_emotion
from cogrl.types import Example


def emotion_reward(completion: str, format: str, example: Example) -> float | None:
    """1 when the Perception step claims exactly the gold emotion, else 0; None in direct. (arXiv:2606.06940, Eq. 3)

    Where no emotion is given, naming none earns nothing either.
    """
    if format != "eips":
        return None
    perceived = perceived_emotion(completion)
    return float(perceived is not None and perceived == example.emotion)
