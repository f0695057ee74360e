"""What is reported of the rollouts that an RL stage learns from."""

from collections.abc import Sequence

import torch

from cogrl.rollout.controller import Controller, reported
from cogrl.stages.means import Means
from cogrl.types import Rollouts, Scores


def rollout_means(
    rollouts: Rollouts, scores: Scores, formats: Sequence[str], controllers: Sequence[Controller]
) -> Means:
    """Reward terms and length by format, what was cut short, and groups without signal."""
    means = Means()
    for format in formats:
        mine = torch.tensor([r == format for r in rollouts.row_formats])
        for name, value in {"total": scores.total, **scores.terms}.items():
            means.add_applicable(f"reward/{format}/{name}", value[mine])
        means.add_applicable(f"rollout/{format}/length", rollouts.completions.mask.sum(1).cpu()[mine].float())
    cut, aborted = (torch.tensor([r == reason for r in rollouts.finish]) for reason in ("length", "abort"))
    means.add_applicable("rollout/truncated", cut.float())
    for name, values in reported(controllers, rollouts).items():
        means.add_applicable(f"rollout/{name}", values)
    for name, values in scores.terms.items() if aborted.any() else ():
        means.add_applicable(f"aborted/{name}", values[aborted])
    flat = (rollouts.advantages.unflatten(0, (-1, rollouts.group_size)).flatten(1) == 0).all(1)
    means.add_applicable("rollout/groups_without_signal", flat.float())
    for name, value in scores.metrics.items():
        means.add_applicable(name, torch.tensor([value]))
    return means
