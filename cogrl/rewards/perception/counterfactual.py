"""The counterfactual term: an answer has to hang on what it is about in the audio, and on nothing else."""

from collections.abc import Sequence

from cogrl.formats.answer import Answer
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.term import Term
from cogrl.types import Example


class Counterfactual(Term):
    """Of a right answer, the share of replacements of the audio under which the policy's answer does what it should.

    Where what is asked about is replaced (silence, another clip) the policy has to answer something else, naming no
    choice included; where something else is replaced (the same words in another voice) it has to answer the same. A
    wrong answer is worth 0: that it changes shows nothing. A policy that is right without listening gets nothing out
    of `changes`.

    The answers come from the stage (`model.counterfactuals`). None where there are none, as in an evaluation; an error
    where some are there, but not those that are named.

    Args:
        changes: names of replacements under which the answer should change.
        stays: names of those under which it should not.
        tasks: only for lines of these tasks, since what is beside the point of one question is the point of another;
            None: for all.
        accuracy: which answers are right.

    Raises ValueError without a name, and for one that is in both.
    """

    def __init__(
        self,
        changes: tuple[str, ...] = ("silence",),
        stays: tuple[str, ...] = (),
        tasks: tuple[str, ...] | None = None,
        accuracy: Accuracy | None = None,
    ) -> None:
        if not {*changes, *stays} or set(changes) & set(stays):
            raise ValueError(
                f"changes={changes}, stays={stays}: name at least one replacement, and each in one of them"
            )
        self.changes, self.stays, self.tasks = changes, stays, tasks
        self.accuracy = accuracy or Accuracy()

    def values(self, answers: Sequence[Answer]) -> list[float | Exception | None]:
        rights = self.accuracy.values(answers)
        return [self._value(answer, right) for answer, right in zip(answers, rights, strict=True)]

    def validate(self, example: Example) -> str | None:
        return self.accuracy.validate(example)

    def _value(self, answer: Answer, right: float | None) -> float | Exception | None:
        replaced = answer.counterfactuals
        if not replaced or right is None or (self.tasks is not None and answer.example.task not in self.tasks):
            return None
        missing = [name for name in (*self.changes, *self.stays) if name not in replaced]
        if missing:
            return ValueError(
                f"no answers under {', '.join(missing)}; the stage's counterfactuals.inputs has {', '.join(replaced)}"
            )
        if right < 1:
            return 0.0
        changed = [replaced[name] != answer.said for name in self.changes]
        stayed = [replaced[name] == answer.said for name in self.stays]
        return sum([*changed, *stayed]) / len([*changed, *stayed])
