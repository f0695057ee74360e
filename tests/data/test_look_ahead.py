"""A loader that looks ahead tells each batch which clips follow it, and goes on as one that does not."""

from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import Dataset

from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import ShuffledBatches
from cogrl.types import Clip, ClipBatch, Example


class Places(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, places: list[int]) -> ClipBatch:
        silence = np.zeros(1, np.float32)
        return ClipBatch([Clip(Example(str(place), Path("clip.wav")), silence) for place in places])


def loader(looks_ahead):
    sampler = ShuffledBatches(10, 2, 0, 0, 1)
    return RepeatingLoader(Places(), sampler=sampler, batch_size=None, repeats=2, looks_ahead=looks_ahead)


def ids_of(batches):
    return [tuple([clip.example.id for clip in clips] for clips in (batch.clips, batch.following)) for batch in batches]


def test_each_batch_of_an_epoch_knows_the_clips_of_the_next_and_the_last_none():
    plain, ahead = ids_of(loader(False)), ids_of(loader(True))
    assert [clips for clips, _ in ahead] == [clips for clips, _ in plain] and len(plain) == 10
    assert [next for _, next in ahead[::2]] == [clips for clips, _ in plain[2::2]] + [[]]
    assert all(next == [] for _, next in plain)


@pytest.mark.parametrize("handed_out", [3, 4])
def test_a_run_that_goes_on_looks_ahead_from_where_it_was(handed_out):
    whole, first = ids_of(loader(True)), loader(True)
    batches = iter(first)
    for _ in range(handed_out):
        next(batches)
    rest = loader(True)
    rest.load_state_dict(first.state_dict())
    assert ids_of(rest) == whole[handed_out:]
