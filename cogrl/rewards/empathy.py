"""R_emp: how specific and deep is the reply about the emotion that the voice carries?"""

from cogrl.formats import format_named
from cogrl.rewards.judge import Judge, unjudgeable
from cogrl.types import Example


class EmpathyReward:
    """The judge's rubric score of what the user would hear, mapped from 1-4 to [0, 1]. (arXiv:2606.06940, Eq. 3-4)

    The same in both formats: it is what makes a generic template unprofitable when no thought is shown. No reply, no
    reward: 0. Raises ValueError when the judge leaves its scale.
    """

    def __init__(self, judge: Judge):
        self.judge = judge

    def __call__(self, completion: str, format: str, example: Example) -> float:
        answer = format_named(format).answer(completion, example)
        if not answer:
            return 0.0
        score = self.judge.empathy(example.text, example.emotion, answer)
        if not 1 <= score <= 4:
            raise ValueError(f"the judge gave {score!r} for {example.id}; the empathy rubric runs from 1 to 4")
        return (score - 1) / 3

    def refusal(self, example: Example) -> str | None:
        return unjudgeable(self.judge, example)
