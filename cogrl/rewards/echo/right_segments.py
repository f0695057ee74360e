"""Right answers that have listened again. (Echo, arXiv:2602.11909, R_seg)"""

from collections.abc import Sequence

from cogrl.formats.answer import Answer
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.echo.confidence import ConfidentAccuracy
from cogrl.rewards.perception.counterfactual import Counterfactual
from cogrl.rewards.term import Term
from cogrl.types import Example


class RightSegments(Term):
    """What a right answer is worth, if a segment was heard again for it, and 0 for every other.

    Args:
        segments: which of them count.
        accuracy: the term that grades the answer; a negative value counts as 0. With `Counterfactual(changes:
            [without_controllers])` only those right answers are worth something that the policy does not give when
            nothing is inserted: a credit for hearing again that needs no gold segments.
    """

    def __init__(
        self,
        segments: CountedSegments | None = None,
        accuracy: Accuracy | ConfidentAccuracy | Counterfactual | None = None,
    ) -> None:
        self.segments, self.accuracy = segments or CountedSegments(), accuracy or Accuracy()

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        grades = self.accuracy.values(answers)
        return [
            None if grade is None else max(0.0, grade) * bool(self.segments.spans(answer))
            for answer, grade in zip(answers, grades, strict=True)
        ]

    def validate(self, example: Example) -> str | None:
        return self.accuracy.validate(example) or self.segments.validate(example)
