"""S_intent, S_psych, S_strategy: how well each thought step fits the gold emotion."""

import re

from cogrl.formats.answer import Answer
from cogrl.rewards.judge import Judge, JudgedTerm, JudgeScores, StepsRequest, known_emotion

_JUDGED = ("Intent", "Psychology", "Strategy")
_STEP = re.compile(rf"\[({'|'.join(_JUDGED)})\]([^\[\]<>\n]*)")


class StepReward(JudgedTerm):
    """The judge's score of one thought step, in [0, 1]; None where the format is not EIPS. (arXiv:2606.06940, Eq. 3)

    Reads the step from the text before the response, whether or not the rest is well-formed, so that a slip of form
    costs R_fmt only. A step that is missing, empty or there twice scores 0. All steps of a thought are one request.
    Raises ValueError for a name that is not Intent, Psychology or Strategy.
    """

    def __init__(self, name: str, judge: Judge) -> None:
        if name not in _JUDGED:
            raise ValueError(f"no thought step to judge is called {name!r}; choose one of {', '.join(_JUDGED)}")
        super().__init__(judge)
        self.name = name

    def request(self, answer: Answer) -> StepsRequest | None:
        steps = steps_of(answer)
        if self.name not in steps:
            return None
        example = answer.example
        return StepsRequest(example.text, known_emotion(example), example.scenario, tuple(steps.items()))

    def value(self, answer: Answer, scores: JudgeScores | None) -> float | int | None:
        if answer.format != "eips":
            return None
        return 0.0 if scores is None else scores[self.name]


def steps_of(answer: Answer) -> dict[str, str]:
    """The thought steps of an EIPS answer that there is something to judge about, by name; empty in other formats."""
    if answer.format != "eips":
        return {}
    found: dict[str, list[str]] = {name: [] for name in _JUDGED}
    for name, content in _STEP.findall(answer.text.partition("<response>")[0]):
        found[name].append(content.strip())
    return {name: contents[0] for name, contents in found.items() if len(contents) == 1 and contents[0]}
