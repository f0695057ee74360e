"""Answers graded by a reward, so many at a time that a judge's deadline, which is for a batch, is enough for each."""

from collections.abc import Sequence

import torch

from cogrl.formats.answer import Answer
from cogrl.rewards.composite import Reward
from cogrl.types import Scores

AT_ONCE = 128


def grades(reward: Reward, answers: Sequence[Answer]) -> Scores:
    """The scores of all, in the order given; `Scores.terms` has `empathy` and `format`, NaN where the reward does not.

    Raises ValueError for a reward without an `empathy` term: the reports compare replies by it.
    """
    totals, terms = [torch.empty(0)], {"empathy": [torch.empty(0)], "format": [torch.empty(0)]}
    for start in range(0, len(answers), AT_ONCE):
        batch = answers[start : start + AT_ONCE]
        scores = reward.score(batch)
        if "empathy" not in scores.terms:
            raise ValueError(
                f"{type(reward).__name__} has the terms {', '.join(scores.terms) or 'none'} in format "
                f"{batch[0].format}; an evaluation needs an `empathy` term in [0, 1]"
            )
        totals.append(scores.total)
        for name, found in terms.items():
            found.append(scores.terms.get(name, torch.full_like(scores.total, torch.nan)))
    return Scores(torch.cat(totals), {name: torch.cat(found) for name, found in terms.items()})
