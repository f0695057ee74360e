"""The stage's own check of every line: nothing is held, and all that is wrong is named."""

from pathlib import Path

import pytest
from torch.utils.data import ConcatDataset, Dataset

from cogrl.stages.usable_lines import refuse_unusable
from cogrl.types import Example


class Numbered(Dataset):
    """Examples that are made when they are asked for."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        self.asked.append(place)
        return Example(f"c{place}", Path("x.wav"), where=f"m.jsonl:{place + 1}")


def test_every_line_of_both_splits_is_asked_for_once():
    train, val = Numbered(30), Numbered(4)
    refuse_unusable(ConcatDataset([train, val]), lambda example: None)
    assert train.asked == list(range(30)) and val.asked == list(range(4))
    refuse_unusable(ConcatDataset([[], []]), lambda example: "never asked")


def test_the_first_twenty_reasons_are_named_in_order_and_the_others_counted():
    with pytest.raises(ValueError) as refused:
        refuse_unusable(Numbered(50), lambda example: "too long" if int(example.id[1:]) % 2 else None)
    lines = str(refused.value).splitlines()
    assert lines[0] == "m.jsonl:2 (c1): too long" and lines[19] == "m.jsonl:40 (c39): too long"
    assert lines[20:] == ["... and 5 more"]


def test_what_the_check_itself_raises_keeps_its_kind():
    def gone(example):
        raise FileNotFoundError(f"{example.where}: gone")

    with pytest.raises(FileNotFoundError, match=r"m\.jsonl:1: gone"):
        refuse_unusable(Numbered(3), gone)
