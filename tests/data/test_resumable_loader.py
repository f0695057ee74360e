"""A loader goes on where another one was: within an epoch, at its end, with batches that workers have loaded ahead."""

import warnings

import pytest
from torch.utils.data import Dataset

from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import ShuffledBatches


class Places(Dataset):
    """Gives back the places, and notes which it was asked for (in this process)."""

    def __init__(self) -> None:
        self.asked = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, places):
        self.asked.append(tuple(places))
        return tuple(places)


def loader(workers=0, repeats=3, size=10) -> RepeatingLoader:
    settings = {"batch_size": None, "repeats": repeats, "num_workers": workers, "persistent_workers": workers > 0}
    return RepeatingLoader(Places(), sampler=ShuffledBatches(size, 2, 0, 0, 1), **settings)


def epoch(found: RepeatingLoader, number: int) -> list:
    found.sampler.set_epoch(number)
    return list(found)


@pytest.mark.parametrize(("workers", "places"), [(0, range(16)), (2, (4, 15))])
def test_it_goes_on_behind_the_batch_that_was_handed_out_last(workers, places):
    whole = loader(workers)
    order = [epoch(whole, number) for number in (1, 2)]
    for place in places:
        first, second = loader(workers), loader(workers)
        first.sampler.set_epoch(1)
        batches = iter(first)
        assert [next(batches) for _ in range(place)] == order[0][:place]
        second.load_state_dict(first.state_dict())
        assert list(second) == order[0][place:]
        assert epoch(second, 2) == order[1]


def test_what_was_used_before_is_not_read_again():
    second = loader()
    second.load_state_dict({"epoch": 1, "handed_out": 8, "length": 15})
    assert len(list(second)) == 7
    assert len(second.dataset.asked) == 3  # the rest of the third batch, the fourth and the fifth


def test_training_draws_the_same_however_often_a_loader_is_begun():
    import torch

    before = torch.get_rng_state()
    epoch(loader(), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_number_of_batches_is_said():
    state = loader().state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader().load_state_dict(state)
    with pytest.warns(UserWarning, match=r"had 15 batches when the checkpoint was written and has 12 now"):
        loader(size=8).load_state_dict(state)
