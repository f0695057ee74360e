"""Whether the reward tells a right answer from an empty one and from that of another line."""

import math
from collections.abc import Iterable, Sequence

from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.doctor.tokens import written
from cogrl.formats.answer import Answer, read_answer
from cogrl.stages.rl import RLStage
from cogrl.types import Clip

_NAME = "reward"


def reward_tells_apart(case: Case) -> Iterable[Finding]:
    """The reward of each clip's own target, of nothing, and of another clip's target; of RL stages alone."""
    if not isinstance(case.stage, RLStage):
        yield Finding(_NAME, "ok", f"{type(case.stage).__name__} does not learn from rewards")
        return
    gold = [
        (clip, f, text)
        for i, f in case.asked(case.clips)
        for clip in [case.clips[i]]
        for text in written(clip.example, f)
    ]
    if not gold:
        yield Finding(
            _NAME,
            "warning",
            f"no line looked at has a target or an answer in {', '.join(case.stage.formats)} to be graded",
            "grade a report of the policy instead: cogrl evaluate --reward",
        )
        return
    right = scored(case, [(clip, f, text) for clip, f, text in gold])
    empty = scored(case, [(clip, f, "") for clip, f, _ in gold])
    other = scored(case, [(clip, f, elsewhere(gold, f, text)) for clip, f, text in gold])
    seen = f"mean over {len(gold)} answers: right {mean(right)}, empty {mean(empty)}, of another line {mean(other)}"
    values = [value for value in (*right, *empty, *other) if math.isfinite(value)]
    if not values:
        advice = "no weighted term applies: see what its terms read, and add it to the lines"
        yield Finding(_NAME, "fault", f"the reward gives no number to any answer ({seen})", advice)
    elif max(values) - min(values) <= case.stage.variance_tolerance:
        advice = "there is nothing to learn from it: every advantage would be 0; look at its terms and weights"
        yield Finding(_NAME, "fault", f"the reward is constant ({seen})", advice)
    elif below(right, empty):
        advice = "saying nothing is then as good as being right: give the empty answer less (WeightedSum.unanswered)"
        yield Finding(_NAME, "fault", f"the right answer earns no more than an empty one ({seen})", advice)
    else:
        yield Finding(_NAME, "ok", seen)


def scored(case: Case, rows: Sequence[tuple[Clip, str, str]]) -> list[float]:
    """The reward of each text as an answer about its clip."""
    answers: list[Answer] = [read_answer(text, format, clip.example, clip=clip) for clip, format, text in rows]
    return case.stage.reward.score(answers).total.tolist()


def elsewhere(gold: Sequence[tuple[Clip, str, str]], format: str, text: str) -> str:
    """A right answer of another line in the same format, nothing where all are this one."""
    return next((other for _, name, other in gold if name == format and other != text), "")


def mean(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    return f"{sum(finite) / len(finite):.3g}" if finite else "none"


def below(right: Sequence[float], empty: Sequence[float]) -> bool:
    """Whether, of the lines where both are numbers, right answers earn no more than empty ones together."""
    pairs = [(r, e) for r, e in zip(right, empty, strict=True) if math.isfinite(r) and math.isfinite(e)]
    return bool(pairs) and sum(r - e for r, e in pairs) <= 0
