"""S_intent, S_psych, S_strategy: how well each thought step fits the gold emotion."""

import re

from cogrl.formats.eips import STEPS
from cogrl.rewards.judge import Judge, unjudgeable
from cogrl.types import Example


class StepReward:
    """The judge's score of one thought step, in [0, 1]; None in direct. (arXiv:2606.06940, Eq. 3)

    Reads the step from the text before the response, whether or not the rest is well-formed, so that a slip of form
    costs R_fmt only. A step that is missing, empty or there twice scores 0. Raises ValueError for a name that is not
    Intent, Psychology or Strategy.
    """

    def __init__(self, name: str, judge: Judge):
        if name not in STEPS[1:]:
            raise ValueError(f"no thought step to judge is called {name!r}; choose one of {', '.join(STEPS[1:])}")
        self.name = name
        self.judge = judge
        self._step = re.compile(rf"\[{name}\]([^\[\]<>\n]*)")

    def __call__(self, completion: str, format: str, example: Example) -> float | None:
        if format != "eips":
            return None
        found = self._step.findall(completion.partition("<response>")[0])
        content = found[0].strip() if len(found) == 1 else ""
        return self.judge.step(self.name, example.emotion, example.scenario, content) if content else 0.0

    def refusal(self, example: Example) -> str | None:
        return unjudgeable(self.judge, example)
