"""What Echo's rewards see of completions into which cited segments were inserted. (En: defects of its public code.)"""

from dataclasses import replace

import pytest
import torch
from citing import END, written

from cogrl.formats.answer import answers_of
from cogrl.formats.segments import SegmentRules
from cogrl.rewards import Accuracy
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.echo.consistency import segment_consistency
from cogrl.rewards.echo.right_segments import RightSegments
from cogrl.rewards.format import well_formed
from cogrl.rollout import HFEngine, Sampling
from cogrl.rollout.controllers import Relisten
from cogrl.types import Clip, Role, Span

ASKED = {"question": "Which animal?", "choices": ("a cat", "a dog"), "answer": "a dog", "duration_s": 2.0}
THOUGHT = "<think>why <seg>0.5, 1.25</seg>The dog</think><answer>a dog</answer>"


def rollouts_of(policy, clips, parts, *controllers):
    """Completions of what is told, as answers in Echo's format to a question about the first clip."""
    found = written(policy, clips[:1], parts, *controllers, group_size=len(parts))
    clip = Clip(replace(clips[0].example, **ASKED), clips[0].waveform)
    return replace(found, clips=[clip], formats=["echo"])


def test_terms_read_what_was_drawn_and_nothing_that_was_inserted(policy, clips):
    on = rollouts_of(policy, clips, [[THOUGHT, END]], Relisten())
    off = rollouts_of(policy, clips, [[THOUGHT, END]])
    assert on.spans == [(Span(0.5, 1.25),)] and on.completions.clip_counts == (1,) and off.spans == [()]
    both = answers_of(on) + answers_of(off)
    assert [one.text for one in both] == [THOUGHT] * 2
    assert [well_formed(one) for one in both] == Accuracy().values(both) == [1.0, 1.0]
    assert [segment_consistency(one) for one in both] == [-0.1] * 2
    assert RightSegments().values(both) == [1.0, 0.0]
    assert RightSegments(CountedSegments("cited")).values(both) == [1.0, 1.0]


def test_e8_a_segment_that_the_controller_did_not_insert_pays_nothing(policy, clips):
    for left_out in (Relisten(SegmentRules(max_s=0.5)), Relisten(audio_tokens=1), Relisten(hears="nothing")):
        answers = answers_of(rollouts_of(policy, clips, [[THOUGHT, END]], left_out))
        assert answers[0].spans == () and RightSegments().values(answers) == [0.0]
    other = answers_of(rollouts_of(policy, clips, [[THOUGHT, END]], Relisten(hears="random", seed=1)))
    assert len(other[0].spans) == 1 and RightSegments().values(other) == [0.0], "not the part that was cited"


def test_e11_each_sampled_token_ends_where_the_text_of_all_drawn_ones_up_to_it_does(policy, clips):
    parts = [[THOUGHT.partition("a dog")[0], 3, "</answer>", 2]]
    rollouts = rollouts_of(policy, clips, parts, Relisten())
    (answer,) = answers_of(rollouts)
    ids, roles = rollouts.completions.ids[0], rollouts.completions.roles[0]
    assert rollouts.completions.clip_counts == (1,) and (roles == Role.AUDIO).any()
    drawn = torch.isin(roles, torch.tensor([int(Role.SAMPLED), int(Role.BENT)])).nonzero().squeeze(1).tolist()
    heads = {place: policy.tokenizer.decode(ids[drawn[: number + 1]]) for number, place in enumerate(drawn)}
    own = [place for place in drawn if roles[place] == Role.SAMPLED]
    assert len(own) == 5 == len(answer.token_ends) == len(answer.logprobs)
    for place, end in zip(own, answer.token_ends, strict=True):
        assert answer.text[:end] == heads[place].removesuffix("\ufffd")


def test_e5_the_end_token_trains_and_an_answer_that_was_cut_is_not_finished(policy, clips):
    rollouts = HFEngine().sample(policy, clips[:1], ["direct"], Sampling(max_new_tokens=40), group_size=128)
    answers = answers_of(rollouts)
    assert {answer.finish for answer in answers} == {"end", "length"}
    for row, answer in enumerate(answers):
        last = rollouts.completions.ids[row, rollouts.completions.mask[row]][-1]
        assert (int(last) in policy.end_ids) == (answer.finish == "end"), "one that is drawn trains, none is put there"
    cut = answers_of(rollouts_of(policy, clips, [THOUGHT[:30]], Relisten()))
    assert cut[0].finish == "length" and well_formed(cut[0]) == 0.0 == pytest.approx(Accuracy().values(cut)[0])
