"""The control of PAUSE: as many pauses as it is told, at places that are drawn once for each completion."""

import pytest
import torch
from interruptions import FILLER

from cogrl.rollout.controllers import Filler, FixedFiller


def places(controller, policy, b, steps):
    """After which drawn tokens each of `b` completions pauses."""
    controller.begin(policy, [""] * b, 1)
    rows, found = torch.arange(b), [[] for _ in range(b)]
    for step in range(1, steps + 1):
        for row in controller.after(torch.zeros(b, dtype=torch.long), torch.zeros(b), rows):
            found[row].append(step)
    return found


def test_random_places_are_as_many_as_asked_for_and_the_same_in_every_call(policy):
    controller = FixedFiller(Filler(FILLER), random_places=3, last=9)
    drawn = places(controller, policy, 20, 30)
    assert all(len(one) == 3 and max(one) <= 9 for one in drawn) and len({tuple(one) for one in drawn}) > 1
    assert places(controller, policy, 20, 30) == drawn


def test_more_random_places_than_tokens_are_refused():
    with pytest.raises(ValueError, match=r"random_places=4 .* there are no more than that"):
        FixedFiller(random_places=4, last=3)
    FixedFiller(random_places=3, last=3)
