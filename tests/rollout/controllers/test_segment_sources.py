"""Controls of re-listening: what is inserted in place of the segment that was cited."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from citing import ids_of, written
from interruptions import FILLER

from cogrl.cli.controllers import read_controllers
from cogrl.model_input import original_clip
from cogrl.rollout.controllers import Relisten
from cogrl.types import Conversation, Role, Span

CONFIGS = Path(__file__).parents[3] / "configs/controllers"
TEXT = "<seg>0.25, 0.75</seg> <seg>1, 1.5</seg> a"


def inserted(policy, clips, hears, texts=(TEXT,), **settings):
    """The rollouts, and the clips that were inserted, by completion."""
    batch = [clips] if not isinstance(clips, list) else clips
    waveforms, excerpt_tensors = [], policy.excerpt_tensors
    policy.excerpt_tensors = lambda given: waveforms.extend(given) or excerpt_tensors(given)
    group_size = len(texts) // len(batch)
    try:
        rollouts = written(policy, batch, list(texts), Relisten(hears=hears, **settings), group_size=group_size)
    finally:
        del policy.excerpt_tensors
    return rollouts, waveforms


def test_a_random_segment_is_as_long_and_depends_on_nothing_else_in_the_batch(policy, clips):
    rollouts, (first, second) = inserted(policy, clips[:1], "random")
    spans = rollouts.spans[0]
    assert [round(span.duration_s, 6) for span in spans] == [0.5, 0.5] and len({span.start_s for span in spans}) == 2
    assert all(span.start_s >= 0 and span.end_s <= 3.0 for span in spans)
    for span, found in zip(spans, (first, second), strict=True):
        start, end = round(span.start_s * 16_000), round(span.end_s * 16_000)
        assert np.array_equal(found, clips[0].waveform[start:end])
    batch, _ = inserted(policy, [clips[2], clips[0]], "random", [TEXT] * 4)
    assert batch.spans[2] == spans and batch.spans[3] != spans and batch.spans[0] != spans
    other_seed, _ = inserted(policy, clips[:1], "random", seed=1)
    assert other_seed.spans[0] != spans
    starts = [span.start_s for row in inserted(policy, clips[:1], "random", [TEXT] * 16)[0].spans for span in row]
    assert min(starts) < 0.5 and max(starts) > 2.0  # of the 0 to 2.5 s where half a second of three fits


def test_the_other_clip_is_that_of_the_next_prompt_and_begins_anew_where_it_ends(policy, clips):
    rollouts, found = inserted(policy, clips[:2], "other_clip", [TEXT, "<seg>0, 0.5</seg> a"])
    short, long = clips[1].waveform, clips[0].waveform
    assert rollouts.completions.clip_counts == (2, 1) and rollouts.spans == [(), ()]
    expected = [np.concatenate([short[4_000:], short[:4_000]]), np.tile(short, 3)[16_000:24_000], long[:8_000]]
    found.sort(key=lambda part: [np.array_equal(part, one) for one in expected].index(True))
    assert all(np.array_equal(part, one) for part, one in zip(found, expected, strict=True))


def test_a_batch_of_one_takes_the_other_clip_of_the_batch_before_and_the_first_is_refused(policy, clips):
    controller = Relisten(hears="other_clip")
    where = replace(clips[0], example=replace(clips[0].example, where="a.jsonl:7"))
    with pytest.raises(
        ValueError, match=r"a\.jsonl:7 \(.*\): hears: other_clip takes .* ask about two or more at once"
    ):
        written(policy, [where, where], [TEXT] * 2, controller)  # twice the same clip is none, either
    written(policy, clips[2:], ["none"] * 2, controller)
    rollouts = written(policy, clips[:1], [TEXT], controller)
    own = policy.audio_tensors([clips[2].waveform[4_000:12_000]])["input_features"][0]
    assert torch.equal(rollouts.completions.audio["input_features"][0], own)


def test_the_whole_clip(policy, clips):
    rollouts, found = inserted(policy, clips[2:3], "whole")
    assert rollouts.spans[0] == (Span(0.0, 1.7),) * 2 and len(found) == 1  # one encoding
    assert np.array_equal(found[0], clips[2].waveform) and rollouts.completions.clip_counts == (2,)


def test_the_gold_segments_in_their_order_and_then_nothing(policy, clips):
    gold = (Span(2.0, 2.3), Span(0.0, 0.4))
    clip = replace(clips[0], example=replace(clips[0].example, evidence=gold))
    rollouts, found = inserted(policy, clip, "gold", [TEXT[:-1] + "<seg>2, 2.5</seg> a"])
    assert rollouts.spans[0] == gold and rollouts.completions.clip_counts == (2,)
    assert [len(part) for part in found] == [4_800, 6_400] and np.array_equal(found[0], clip.waveform[32_000:36_800])


def test_gold_segments_with_the_rest_of_their_seconds_end_with_the_clip(policy, clips):
    end_s = len(clips[0].waveform) / policy.sampling_rate
    gold = (Span(0.3, 1.2), Span(end_s - 0.3, end_s))
    clip = replace(clips[0], example=replace(clips[0].example, evidence=gold))
    rollouts, _ = inserted(policy, clip, "gold_seconds", [TEXT[:-1] + "<seg>2, 2.5</seg> a"])
    assert rollouts.spans[0] == (Span(0.0, 2.0), Span(float(math.floor(end_s - 0.3)), end_s))


def test_gold_segments_that_a_line_does_not_have_are_asked_for(policy, clips):
    bare = replace(clips[0], example=replace(clips[0].example, where="a.jsonl:7", id="x"))
    with pytest.raises(ValueError, match=r"a\.jsonl:7 \(x\): hears: gold .* no `evidence`; add it, or choose another"):
        inserted(policy, bare, "gold")


def test_fillers_are_as_many_as_the_segment_would_take_and_are_no_audio(policy, clips):
    cited, _ = inserted(policy, clips[:1], "cited")
    rollouts, found = inserted(policy, clips[:1], "filler", filler=FILLER)
    audio, latent = cited.completions.roles != Role.BENT, rollouts.completions.roles == Role.LATENT
    assert found == [] and rollouts.spans == [()] and rollouts.texts == cited.texts == [TEXT]
    assert torch.equal(audio, latent)
    assert set(rollouts.completions.ids[latent].tolist()) == set(ids_of(policy, FILLER))
    with pytest.raises(ValueError, match=r"'<PAUSE>': the tokenizer of .* has no such entry"):
        inserted(policy, clips[:1], "filler", filler="<PAUSE>")


def test_nothing_is_inserted_and_the_rules_count(policy, clips):
    rollouts, found = inserted(policy, clips[:1], "nothing", ["<seg>0, 1</seg> <seg>0, 1</seg> a"])
    assert found == [] and (rollouts.completions.roles == Role.BENT).all()
    controller = Relisten(hears="nothing")
    rollouts = written(policy, clips[:1], ["<seg>0, 1</seg> <seg>0, 1</seg> a"], controller)
    figures = {name: value.item() for name, value in controller.metrics(rollouts).items() if value.item() > 0}
    assert figures == {"cited": 2, "invalid_duplicate": 1}


def test_the_clip_is_that_of_the_turn_to_answer():
    first, last = np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32)
    assert original_clip(last) is last and original_clip("words") is None
    assert original_clip(Conversation((first, last), (None,))) is last
    assert original_clip(Conversation((first, "and now?"), ("Well.",))) is None


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("relisten*.yaml")), ids=lambda file: file.stem)
def test_each_file_of_controllers_is_the_control_it_is_called(file):
    (controller,) = read_controllers(file)
    (mini,) = read_controllers(CONFIGS / "relisten_mini.yaml")
    control = file.stem.removeprefix("relisten").removeprefix("_mini").removeprefix("_")
    assert isinstance(controller, Relisten) and controller.hears == (control or "cited")
    assert controller.rules == (Relisten().rules if file.stem == "relisten" else mini.rules)
