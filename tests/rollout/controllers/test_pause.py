"""PAUSE: where it pauses and ends, what a pause is made of, and what it learns. Dn: a defect of HyPeR's public code."""

import json
import re
from dataclasses import replace

import pytest
import torch
from interruptions import FILLER, LATENTS, WORDS, Forbid, Scripted, pausing
from torch.utils._python_dispatch import TorchDispatchMode

from cogrl.objectives.confidence import lowest_group_confidence, window_confidences
from cogrl.rollout import HFEngine, Sampling, Tokens
from cogrl.rollout.controller import in_training
from cogrl.rollout.controllers import Filler, HiddenSpan, Keywords, Pause
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.rollout.insertions import interruption
from cogrl.types import Role

S, L, PAD = Role.SAMPLED, Role.LATENT, Role.PAD
EVERYWHERE = {"pause": 1.1, "window": 1}
"""Pauses as soon as it may."""


def sampled(policy, clips, *controllers, group_size=1, max_new_tokens=12, ending=False, seed=0, **settings):
    """Completions that only end where they are cut, or given up."""
    controllers = [*([] if ending else [Forbid(policy.end_ids)]), *controllers]
    sampling = Sampling(max_new_tokens=max_new_tokens, **settings)
    generator, formats = torch.Generator().manual_seed(seed), ["eips"] * len(clips)
    return HFEngine().sample(policy, clips, formats, sampling, group_size, generator=generator, controllers=controllers)


def shape(rollouts, row):
    """The roles of a row, one letter each."""
    letters = {S: "s", L: "L", Role.FORCED: "f", Role.BENT: "b", PAD: ""}
    return "".join(letters[Role(int(role))] for role in rollouts.completions.roles[row])


def test_it_pauses_as_often_as_it_may_and_with_the_gap_it_was_told(sharp, clips):
    rollouts = sampled(sharp, clips[:1], pausing(**EVERYWHERE, gap=4, max_pauses=2), group_size=2)
    assert shape(rollouts, 0) == shape(rollouts, 1) == "sLLLssssLLLsssssss"
    filler = sharp.tokenizer.convert_tokens_to_ids(FILLER)
    assert (rollouts.completions.ids[rollouts.completions.roles == L] == filler).all()
    assert FILLER not in rollouts.texts[0]


@pytest.fixture
def spaced(sharp, monkeypatch):
    """It may write "." too, so that " b" is a word now and then."""
    bias = sharp.lm_head_bias.clone()
    bias[sharp.tokenizer(".,", add_special_tokens=False).input_ids] = 1.0
    monkeypatch.setattr(type(sharp), "lm_head_bias", bias)
    return sharp


def test_nothing_happens_before_the_least_place(sharp, clips):
    late = sampled(sharp, clips[:1], pausing(**EVERYWHERE, gap=3, max_pauses=9, min_position=5))
    assert shape(late, 0) == "sssss" + "LLLsss" * 2 + "LLLs"


def test_nothing_happens_behind_the_phrase_that_ends_it(spaced, clips):
    controller = pausing(**EVERYWHERE, gap=1, max_pauses=99, until="b")
    rollouts = sampled(spaced, clips, controller, group_size=4, max_new_tokens=20)
    ended = 0
    for row, text in enumerate(rollouts.texts):
        word = re.search(r"(?<![a-zA-Z])b[^a-zA-Z]", text)
        head = text if word is None else text[: word.end() - 1]
        places = [i for i in range(1, 20) if len(decoded(spaced, rollouts, row, i)) <= len(head)]
        assert shape(rollouts, row) == "".join("sLLL" for _ in places) + "s" * (20 - len(places)), text
        ended += word is not None
    assert 3 < ended < 16


def decoded(policy, rollouts, row, count):
    """The first so many text tokens of a row."""
    return policy.tokenizer.decode(rollouts.completions.ids[row][rollouts.completions.mask[row]][:count])


def test_it_ends_what_is_below_the_lower_threshold_and_pauses_between_the_two(sharp, clips):
    controller = pausing(pause=0.1, abort=0.05, gap=1, max_pauses=99)
    rollouts = sampled(sharp, clips, controller, group_size=4, ending=True, max_new_tokens=20)
    means = window_confidences(rollouts.sampling_logprobs, rollouts.completions.mask, 2)
    aborted = [row for row, reason in enumerate(rollouts.finish) if reason == "abort"]
    assert 0 < len(aborted) < 16
    for row in range(16):
        text = means[row, : int(rollouts.completions.mask[row].sum())]
        seen = text if row in aborted else text[:-1]  # behind the last token nothing is asked
        below = seen[~seen.isnan()] < 0.05
        assert below.sum() == (row in aborted) and (not below.any() or below[-1])
        between = ((seen >= 0.05) & (seen < 0.1)).sum()
        assert shape(rollouts, row).count("LLL") == between


def test_what_the_ring_holds_while_sampling_is_what_cumulative_sums_find_afterwards(sharp, clips):
    controller = pausing(pause=0.0, window=3)
    seen = {}
    after = controller.after

    def spy(tokens, logprobs, rows):
        found = after(tokens, logprobs, rows)
        for row, mean, place in zip(
            rows.tolist(), controller.confidences.confidence(rows), controller.confidences.count[rows], strict=True
        ):
            seen[row, int(place) - 1] = mean.item()
        return found

    controller.after = spy
    script = Scripted({(0, 2): [Tokens([7, 8])], (1, 3): [Tokens([9] * 5, L)]})
    rollouts = sampled(sharp, clips, script, controller, group_size=2, ending=True)
    means = window_confidences(rollouts.sampling_logprobs, rollouts.completions.mask, 3)
    finite = {key: value for key, value in seen.items() if value != float("inf")}
    assert len(finite) > 30
    for (row, place), value in finite.items():
        assert value == pytest.approx(means[row, place].item(), abs=1e-6)
    learned = controller.lowest_confidences(rollouts)
    for row in range(len(rollouts)):  # also of a row whose least sure window is the one that ends it
        looked_at = [value for (r, _), value in finite.items() if r == row]
        assert learned[row].nan_to_num(nan=9.0).item() == pytest.approx(min(looked_at, default=9.0), abs=1e-6)
    assert (learned.nan_to_num(nan=9.0) != means.nan_to_num(nan=9.0).amin(1)).any()


def test_thresholds_are_learnt_from_what_is_looked_at_and_not_from_what_follows_the_phrase(spaced, clips):
    controller = pausing(pause=0.0, until="b")
    seen = [[] for _ in range(16)]
    interruptions = controller.interruptions

    def spy(tokens, logprobs, rows, below):
        found = interruptions(tokens, logprobs, rows, below)
        for row, mean in zip(rows.tolist(), controller.confidences.confidence(rows).tolist(), strict=True):
            if not controller.over[row] and mean != float("inf"):
                seen[row].append(mean)
        return found

    controller.interruptions = spy
    rollouts = sampled(spaced, clips, controller, group_size=4, max_new_tokens=20)
    learned = controller.lowest_confidences(rollouts).nan_to_num(nan=9.0).tolist()
    assert learned == pytest.approx([min(means, default=9.0) for means in seen], abs=1e-6)
    assert 3 < sum(bool(over) for over in controller.over) < 16


@pytest.mark.parametrize("mode", LATENTS)
def test_frozen_quantiles_do_at_inference_what_they_did_in_training(sharp, clips, mode, tmp_path):
    """The same logits, seed and prompts; the thresholds go through the file that an export holds."""
    controller = pausing(mode, pause=0.1, abort=0.05)
    with in_training([controller]):
        trained = sampled(sharp, clips, controller, group_size=3, ending=True)
    controller.save(tmp_path)
    settings = {"window": 2, "gap": 2, "max_pauses": 2}
    frozen = Pause(LATENTS[mode](), **settings, thresholds=str(tmp_path / "pause.json"))
    found = sampled(sharp, clips, frozen, group_size=3, ending=True)
    assert torch.equal(found.completions.ids, trained.completions.ids) and found.finish == trained.finish
    assert torch.equal(found.completions.roles, trained.completions.roles)
    assert trained.completions.roles.eq(L).any() and "abort" in trained.finish
    assert json.loads((tmp_path / "pause.json").read_text())["pause"] == pytest.approx(0.1)


def test_d3_a_hidden_span_begins_and_ends_once_and_has_its_length(sharp, clips):
    controller = pausing("hidden_span", **EVERYWHERE, gap=3, max_pauses=2)
    rollouts = sampled(sharp, clips[:1], controller, group_size=2, max_new_tokens=12)
    before, behind = (sharp.tokenizer(mark, add_special_tokens=False).input_ids for mark in controller.latent.marks)
    span = len(before) + 2 + len(behind)
    for row in range(2):
        assert shape(rollouts, row) == "s" + "L" * span + "sss" + "L" * span + "ssss"
        ids = rollouts.completions.ids[row, 1 : 1 + span].tolist()
        assert ids[: len(before)] == before and ids[-len(behind) :] == behind
        assert set(ids[len(before) : -len(behind)]) <= set(WORDS)
    assert rollouts.texts[0] == sharp.tokenizer.decode(rollouts.completions.ids[0][rollouts.completions.mask[0]])
    assert (rollouts.completions.mask.sum(1) == 8).all()  # four of the twelve that were drawn are hidden


def test_hidden_tokens_do_not_end_a_completion(sharp, clips, monkeypatch):
    bias = sharp.lm_head_bias.clone()
    bias[sharp.tokenizer.eos_token_id] = 4.0  # nearly certain
    monkeypatch.setattr(type(sharp), "lm_head_bias", bias)
    controller = pausing("hidden_span", **EVERYWHERE)
    rollouts = sampled(sharp, clips, controller, group_size=8, ending=True)
    latent = rollouts.completions.ids[rollouts.completions.roles == L]
    assert len(latent) and sharp.tokenizer.eos_token_id not in latent.tolist()
    assert rollouts.finish.count("end") == 32


def test_a_completion_may_end_while_another_one_draws_hidden_tokens(sharp):
    span, rows = HiddenSpan(length=2), torch.arange(3)
    span.begin(sharp, 3)
    span.open(torch.tensor([1]))
    logits = span.adjust(torch.zeros(3, 400), rows)
    assert span.hidden(rows).tolist() == [False, True, False]
    assert logits.isinf().nonzero().tolist() == [[1, end] for end in sharp.end_ids]


def test_d10_latent_tokens_are_in_no_length_confidence_or_log_prob_that_trains(sharp, clips):
    rollouts = sampled(sharp, clips[:1], pausing("hidden_span", **EVERYWHERE), group_size=2)
    roles, mask = rollouts.completions.roles, rollouts.completions.mask
    assert roles.eq(L).any() and torch.equal(mask, roles == S)
    loud = rollouts.sampling_logprobs.masked_fill(roles == L, -9.0)
    for window in (1, 3, 99):
        quiet = lowest_group_confidence(rollouts.sampling_logprobs, mask, window)
        assert torch.equal(lowest_group_confidence(loud, mask, window), quiet)
    scored = sharp.token_logprobs(rollouts.prompts, rollouts.completions, group_size=2)
    assert (scored.logprobs[roles == L] == 0).all() and (scored.entropy[roles == L] == 0).all()


def test_d1_a_token_the_tokenizer_does_not_have_is_refused_with_the_way_out(sharp, clips):
    with pytest.raises(ValueError, match=r"a pause of '<PAUSE>': the tokenizer of .* has no such entry.*`token`"):
        sampled(sharp, clips[:1], Pause())
    ends = sharp.tokenizer.convert_ids_to_tokens(sharp.end_ids[0])
    for token in (ends, "<|AUDIO|>"):
        with pytest.raises(ValueError, match="ends an answer or stands for audio"):
            sampled(sharp, clips[:1], Pause(Filler(token)))
    with pytest.raises(ValueError, match="must not be empty"):
        HiddenSpan(("", "x"))


def test_d2_state_is_of_every_completion_and_not_of_every_prompt(sharp, clips):
    controller = pausing(**EVERYWHERE)
    rollouts = sampled(sharp, clips, controller, group_size=5)
    assert controller.pauses.shape == (20,) and (controller.pauses == 2).all()
    assert all(shape(rollouts, row).count("LLL") == 2 for row in range(20))


def test_d5_completions_that_have_ended_and_steps_within_a_rollout_do_not_move_the_thresholds(sharp, clips):
    controller = pausing(pause=0.1, window=2)
    rollouts = sampled(sharp, clips, controller, group_size=4, ending=True, max_new_tokens=20)
    assert len(controller.lowest.values) == 64  # as before the rollout
    alone = controller.lowest_confidences(rollouts)
    wider = replace(
        rollouts,
        completions=replace(
            rollouts.completions,
            ids=torch.nn.functional.pad(rollouts.completions.ids, (0, 50)),
            roles=torch.nn.functional.pad(rollouts.completions.roles, (0, 50)),
        ),
        sampling_logprobs=torch.nn.functional.pad(rollouts.sampling_logprobs, (0, 50)),
    )
    assert torch.equal(controller.lowest_confidences(wider).nan_to_num(), alone.nan_to_num())
    controller.learn(rollouts, 0.5, lambda value: [value, value + 0.001])  # of two ranks
    assert len(controller.lowest.values) == 64 + 2 * int((~alone.isnan()).sum())


def test_d5_about_the_share_of_completions_pauses_that_the_quantile_says(sharp, clips):
    controller = Pause(Filler(FILLER, 1), window=2, gap=1, abort_quantile=None, pause_quantile=0.5)
    with in_training([controller]):
        first = sampled(sharp, clips, controller, group_size=32, max_new_tokens=16, seed=1)
        assert not first.completions.roles.eq(L).any()  # nothing was known yet
        controller.learn(first, 0.0, lambda value: [value])
        second = sampled(sharp, clips, controller, group_size=32, max_new_tokens=16, seed=2)
    share = controller.metrics(second)["paused"].mean().item()
    assert 0.35 < share < 0.65


def test_without_thresholds_inference_is_refused_and_training_begins_without_pauses(sharp, clips, tmp_path):
    controller = Pause(Filler(FILLER), window=2)
    with pytest.raises(ValueError, match=r"Pause has no thresholds.*name its `thresholds`"):
        sampled(sharp, clips[:1], controller)
    with pytest.raises(FileNotFoundError, match=r"pause\.json is missing"):
        sampled(sharp, clips[:1], Pause(Filler(FILLER), thresholds="policy"))
    (tmp_path / "pause.json").write_text('{"pause": 0.5, "abort": null, "window": 8, "min_position": 0}')
    with pytest.raises(ValueError, match=r"windows of 8 tokens.*window=2"):
        sampled(sharp, clips[:1], Pause(Filler(FILLER), window=2, thresholds=str(tmp_path / "pause.json")))
    (tmp_path / "pause.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no thresholds of Pause"):
        sampled(sharp, clips[:1], Pause(Filler(FILLER), thresholds=str(tmp_path / "pause.json")))
    controller.save(tmp_path / "none")  # nothing was learned: nothing is written
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"window": 0}, "window=0 must be at least 1"),
        ({"gap": 0}, "gap=0 must be at least 1"),
        ({"pause_quantile": 0.05}, "less are given up than pause"),
        ({"pause_quantile": 1.0}, "between 0 and 1"),
        ({"max_pauses": -1}, "max_pauses=-1 must be at least 0"),
        ({"until": " "}, "an empty phrase"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        Pause(**settings)


def test_a_keyword_raises_the_threshold_in_training_until_the_bias_has_gone(spaced, clips):
    keywords = Keywords(("b",), bias=9.0, share=0.5, reach=3)
    controller = pausing(pause=0.001, window=1, gap=1, max_pauses=99, keywords=keywords)

    def paused(training, progress):
        controller.bias = keywords.bias_at(progress)
        with in_training([controller] if training else []):
            return sampled(spaced, clips, controller, group_size=4, max_new_tokens=20)

    rollouts = paused(True, 0.0)
    for row, text in enumerate(rollouts.texts):
        found = [match.start() + 2 for match in re.finditer(r"(?<![a-zA-Z])b[^a-zA-Z]", text)]
        drawn = [len(decoded(spaced, rollouts, row, count)) for count in range(1, 20)]
        known = [sum(length < end for length in drawn) + 1 for end in found]  # with the token behind the word
        near = {count for first in known for count in range(first, first + 3)}
        letters = "".join("sLLL" if count in near else "s" for count in range(1, 20)) + "s"
        assert shape(rollouts, row) == letters, text
    assert controller.metrics(rollouts)["pauses"].sum() > 10
    for training, progress in ((False, 0.0), (True, 0.5), (True, 0.9)):
        assert controller.metrics(paused(training, progress))["pauses"].sum() == 0


def test_what_it_learned_is_its_state(sharp, clips):
    controller, other = pausing(keywords=Keywords()), pausing(pause=0.9, keywords=Keywords())
    rollouts = sampled(sharp, clips, controller, group_size=4)
    controller.learn(rollouts, 0.06, lambda value: [value])
    assert controller.bias == pytest.approx(5.0 * (1 - 0.06 / 0.15))
    other.load_state_dict(controller.state_dict())
    assert other.learned() == controller.learned() and other.bias == controller.bias


def test_metrics_say_how_often_and_where_completions_paused(sharp, clips):
    controller = pausing(**EVERYWHERE, gap=8, max_pauses=2)
    found = controller.metrics(sampled(sharp, clips[:1], controller, group_size=2, max_new_tokens=12))
    expected = {"paused": 1, "pauses": 2, "latent_tokens": 6, "pause_position": (1 / 12 + 9 / 12) / 2}
    expected |= {"pauses_part_1": 1, "pauses_part_2": 0, "pauses_part_3": 1, "pauses_part_4": 0}
    for name, value in expected.items():
        assert found[name].tolist() == pytest.approx([value] * 2), name
    assert found["pause_threshold"].tolist() == pytest.approx([1.1] * 2) and "abort_threshold" not in found


class Reads(TorchDispatchMode):
    """Counts how often a number is read off a tensor."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ == "_local_scalar_dense"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", LATENTS)
def test_d14_a_step_that_inserts_nothing_waits_for_the_device_once(sharp, clips, mode, monkeypatch):
    controller = pausing(mode, pause=0.0, until="response", keywords=Keywords())
    monkeypatch.setattr(torch.Tensor, "tolist", None)
    with in_training([controller]):
        controller.begin(sharp, [clip.waveform for clip in clips], 16)
        rows, tokens = torch.arange(64), torch.randint(300, 312, (64,))
        for _ in range(4):
            with Reads() as reads:
                _, bent = controller.adjust(torch.zeros(64, 400), rows)
                assert bent is None and controller.hidden(rows) is None
                drawn = (tokens, torch.full((64,), -1.0), rows, torch.full((64,), 9))
                found = interruption(sharp, [controller], *drawn, EncodedExcerpts(sharp))
            assert found is None and reads.count == 1
