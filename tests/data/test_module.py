"""The data module: what is read, in which order, and what is refused before the first step."""

import json
import shutil

import pytest
import torch

from cogrl.audio import write_flac
from cogrl.data.clips import Batches
from cogrl.data.dealt_batches import DealtBatches
from cogrl.data.module import AudioData
from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import ShuffledBatches


class Named(torch.utils.data.Dataset):
    """A batch is what it is asked by."""

    def __getitem__(self, places):
        return str(places)


def order(**kwargs):
    return list(ShuffledBatches(**({"size": 10, "batch_size": 2, "seed": 0, "rank": 0, "world_size": 1} | kwargs)))


def test_an_epoch_holds_every_clip_once_in_an_order_of_its_own():
    first = order()
    assert sorted(i for batch in first for i in batch) == list(range(10))
    sampler = ShuffledBatches(10, 2, 0, 0, 1)
    sampler.set_epoch(1)
    assert list(sampler) != first == order()
    assert order(seed=1) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_repeated_in_a_row(workers):
    once, sampler = order(), ShuffledBatches(10, 2, 0, 0, 1)
    thrice = RepeatingLoader(Named(), sampler=sampler, batch_size=None, repeats=3, num_workers=workers)
    found = list(thrice)
    assert found == [str(batch) for batch in once for _ in range(3)]
    assert len(thrice) == len(found) and found[0] is found[1] is found[2]


def test_ranks_share_no_clip_and_get_the_same_number_of_batches():
    ranks = [order(rank=rank, world_size=2) for rank in (0, 1)]
    seen = [{i for batch in rank for i in batch} for rank in ranks]
    assert not seen[0] & seen[1] and len(ranks[0]) == len(ranks[1]) == 2


@pytest.mark.parametrize("sampler", [ShuffledBatches(23, 2, 0, 1, 2), DealtBatches(23, 2, 1, 2)])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_was_left_goes_on_at_the_next_batch_and_the_one_after_it_is_whole(sampler, workers):
    loader = RepeatingLoader(Named(), sampler=sampler, batch_size=None, repeats=1, num_workers=workers)
    sampler.set_epoch(3)
    whole = list(loader)
    for place in (2, len(whole)):
        loader.load_state_dict({"epoch": 3, "handed_out": place, "length": len(whole)})
        assert list(loader) == whole[place:] and len(whole) > 3
        assert list(loader) == whole


def test_an_epoch_can_not_go_on_behind_its_end():
    with pytest.raises(ValueError, match=r"an epoch of 5 batches can not go on at batch 6: .* set them back"):
        ShuffledBatches(10, 2, 0, 0, 1).start_at(6)


def test_batches_are_the_named_clips(smoke_corpus):
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), keep_in_memory=True)
    data.setup("fit")
    clips = data.clips("train")
    batch = Batches(clips)[[3, 1]]
    assert [c.example.id for c in batch.clips] == [data.examples["train"][i].id for i in (3, 1)]
    assert clips[3] is batch.clips[0]


def test_a_subcommand_without_its_manifest_says_which_one():
    with pytest.raises(ValueError, match=r"`cogrl test` needs data\.test"):
        AudioData(train="x.jsonl").setup("test")


def test_a_missing_manifest_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="cogrl build lime-mini"):
        AudioData(train=str(tmp_path / "sft.jsonl")).setup("fit")


def test_a_text_group_in_train_and_val_is_refused(smoke_corpus):
    train = str(smoke_corpus / "sft.jsonl")
    with pytest.raises(ValueError, match="text_group"):
        AudioData(train=train, val=train).setup("fit")


def test_a_clip_longer_than_the_window_is_refused_before_training_with_line_and_id(smoke_corpus):
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), max_s=0.2)
    with pytest.raises(ValueError, match=r"sft\.jsonl:1 "):
        data.setup("fit")


def test_a_clip_that_changed_on_disk_is_refused_with_line_and_id(smoke_corpus, tmp_path):
    import numpy as np

    corpus = shutil.copytree(smoke_corpus, tmp_path / "corpus")
    record = json.loads((corpus / "sft.jsonl").read_text().splitlines()[2])
    write_flac(corpus / record["audio"], np.full(16_000 * 3, 0.1, dtype=np.float32), 16_000)
    with pytest.raises(ValueError, match=rf"sft\.jsonl:3 .*{record['id']}"):
        AudioData(train=str(corpus / "sft.jsonl")).setup("fit")


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="batch_size=0"):
        AudioData(batch_size=0)


def test_a_run_that_goes_on_with_another_manifest_is_warned(smoke_corpus, tmp_path):
    manifest = tmp_path / "train.jsonl"
    lines = (smoke_corpus / "sft.jsonl").read_text().replace('"audio/', f'"{smoke_corpus}/audio/').splitlines()

    def opened(lines):
        manifest.write_text("\n".join(lines) + "\n")
        data = AudioData(train=str(manifest))
        data.setup("fit")
        return data

    state = opened(lines).state_dict()
    opened(lines).load_state_dict(state)
    with pytest.warns(UserWarning, match=r"train\.jsonl has changed since the checkpoint was written"):
        opened(lines[::-1]).load_state_dict(state)
