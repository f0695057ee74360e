"""Which prompt and which target supervised fine-tuning shows, and in what share."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from cogrl.model_input import describe
from cogrl.stages import Distill, Sft
from cogrl.types import ClipBatch


def formats_drawn(stage, clips, batches):
    """The formats of so many batches; nothing is computed."""
    drawn = []
    stage.loss = lambda batch, formats: drawn.extend(formats) or torch.tensor(0.0)
    stage.log = lambda *args, **kwargs: None
    for number in range(batches):
        stage.training_step(ClipBatch(clips), number)
    return drawn


@pytest.mark.parametrize(
    "shares",
    [
        {"eips": 1.0},
        {"eips": 0.75, "direct": 0.25},
        {"direct": 1.0, "eips": 0.0},
        {"ieat": 0.2, "direct": 0.5, "eips": 0.3},
    ],
)
def test_each_format_is_drawn_by_its_share(policy, clips, shares):
    stage = Sft(policy, formats=shares)
    drawn = formats_drawn(stage, clips, 500)
    assert set(drawn) == set(stage.formats) == {name for name, share in shares.items() if share}
    for name, share in shares.items():
        assert drawn.count(name) == pytest.approx(share * len(drawn), abs=0.03 * len(drawn) if 0 < share < 1 else 0)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_mix_of_two_draws_direct_where_the_random_number_is_below_its_share(policy, clips, share):
    expected = []
    for number in range(20):
        draw = random.Random(f"0/{number}/0")
        expected += ["direct" if draw.random() < share else "eips" for _ in clips]
    for shares in ({"eips": 1 - share, "direct": share}, {"direct": share, "eips": 1 - share}):
        assert formats_drawn(Sft(policy, formats=shares), clips, 20) == expected


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"eips": 0.5}, "must sum to 1"),
        ({"eips": 1.5, "direct": -0.5}, "must not be negative"),
        ({"eip": 1.0}, "no format is called 'eip'; did you mean eips"),
    ],
)
def test_shares_that_are_no_mix_are_refused(policy, shares, message):
    with pytest.raises(ValueError, match=message):
        Sft(policy, formats=shares)


def test_distillation_shows_both_prompts_alike(policy, clips):
    drawn = formats_drawn(Distill(policy), clips, 500)
    assert drawn.count("direct") == pytest.approx(len(drawn) / 2, abs=0.03 * len(drawn))


def test_who_reads_does_not_hear_and_who_hears_does_not_read(policy, clips):
    policy.lm_head_weight.data.mul_(30)
    another = [replace(clip, waveform=(clip.waveform * np.float32(0.1))[::-1].copy()) for clip in clips]
    renamed = [replace(clip, example=replace(clip.example, text="Something else was said.")) for clip in clips]

    def losses(stage):
        return [
            stage.loss(ClipBatch(given), ["eips", "direct", "eips", "direct"]).item()
            for given in (clips, another, renamed)
        ]

    plain, other_sound, other_words = losses(Sft(policy, reads="description"))
    assert plain == other_sound != pytest.approx(other_words, rel=1e-5)
    plain, other_sound, other_words = losses(Sft(policy))
    assert plain == other_words != pytest.approx(other_sound, rel=1e-5)


@pytest.mark.parametrize("reads", ["description", "words"])
def test_who_reads_a_description_is_told_the_emotion_and_who_reads_words_is_not(policy, clips, reads):
    stage = Sft(policy, reads=reads)
    seen, encode = [], stage.encode
    stage.encode = lambda batch, formats, given: seen.extend(given) or encode(batch, formats, given)
    stage.loss(ClipBatch(clips), ["eips"] * 4)
    assert seen == [describe(clip.example) if reads == "description" else clip.example.text for clip in clips]
