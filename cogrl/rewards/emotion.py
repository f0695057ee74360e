"""EmoAcc: did the thought perceive the emotion that the voice carries?"""

from cogrl.prompts import perceived_emotion
from cogrl.types import Example, Route


def emotion_reward(completion: str, route: Route, example: Example) -> float | None:
    """1 when the Perception step claims exactly the gold emotion, else 0; None on route B. (arXiv:2606.06940, Eq. 3)

    Where no emotion is given, naming none earns nothing either.
    """
    if route == "B":
        return None
    perceived = perceived_emotion(completion)
    return float(perceived is not None and perceived == example.emotion)
