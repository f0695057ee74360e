"""Easy clips first: which clips each batch may hold, on every rank, whatever is read again."""

from pathlib import Path

import pytest

from cogrl.data.curriculum import Curriculum, CurriculumBatches
from cogrl.data.shuffled_batches import ShuffledBatches
from cogrl.types import Example

SNR_DB = [3.0, 19.0, 11.0, 7.0, 15.0, 1.0, 17.0, 5.0, 13.0, 9.0]
EXAMPLES = [Example(str(i), Path(f"{i}.wav"), snr_db=level, where=f"m.jsonl:{i + 1}") for i, level in enumerate(SNR_DB)]
SHARED = {"size": 10, "batch_size": 2, "seed": 3}


def batches(curriculum, epochs=1, rank=0, world_size=1):
    sampler = CurriculumBatches(
        ShuffledBatches(**SHARED, rank=rank, world_size=world_size), curriculum, curriculum.easiest_first(EXAMPLES)
    )
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += [list(batch) for batch in sampler]
    return found


def test_the_first_batches_hold_the_easiest_clips_and_the_share_grows_to_all():
    found = batches(Curriculum(start=0.2, batches=8), epochs=2)
    for number, places in enumerate(found[:8]):
        allowed = sorted(SNR_DB, reverse=True)[: max(2, round((0.2 + 0.1 * number) * 10))]
        assert {SNR_DB[i] for i in places} <= set(allowed) and len(set(places)) == 2
    assert {SNR_DB[i] for i in found[0]} == {19.0, 17.0}
    lowest = batches(Curriculum(easiest="lowest", start=0.2, batches=8))
    assert {SNR_DB[i] for i in lowest[0]} == {1.0, 3.0}


def test_after_the_curriculum_the_order_is_the_shuffled_one():
    found, plain = batches(Curriculum(batches=5), epochs=2), ShuffledBatches(**SHARED, rank=0, world_size=1)
    plain.set_epoch(1)
    assert found[5:] == [list(batch) for batch in plain]


def test_ranks_draw_the_batches_of_one_process_in_turn():
    one = batches(Curriculum(start=0.2, batches=100), epochs=2)
    ranks = [batches(Curriculum(start=0.2, batches=100), rank=rank, world_size=2) for rank in (0, 1)]
    assert [batch for pair in zip(*ranks, strict=True) for batch in pair] == one[:4]


def test_a_curriculum_goes_on_in_mid_epoch():
    curriculum = Curriculum(start=0.2, batches=4)
    whole = batches(curriculum)
    sampler = CurriculumBatches(
        ShuffledBatches(**SHARED, rank=0, world_size=1), curriculum, curriculum.easiest_first(EXAMPLES)
    )
    sampler.start_at(3)
    assert [list(batch) for batch in sampler] == whole[3:] and len(whole) == 5


def test_lines_without_the_key_and_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"m.jsonl:1 \(0\): no duration_s, which data.curriculum sorts by"):
        Curriculum(key="duration_s").easiest_first(EXAMPLES)
    for wrong in ({"start": 0.0}, {"start": 1.5}, {"batches": 0}):
        with pytest.raises(ValueError, match="curriculum: start="):
            Curriculum(**wrong)
