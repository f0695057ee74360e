"""Roles of completion tokens, and the audio that travels beside them."""

from dataclasses import replace

import pytest
import torch
from test_types import rollouts

from cogrl.types import Completions, Role, Span, drawn_ids, join_clips

S, F, L, A, B, P = Role.SAMPLED, Role.FORCED, Role.LATENT, Role.AUDIO, Role.BENT, Role.PAD


def completions(roles, counts=None, first_clip=0, frames=4):
    """Rows of these roles, ids counted up; clip number `n` is a spectrogram full of `n`."""
    roles = torch.tensor([[int(role) for role in row] for row in roles])
    ids = torch.arange(roles.numel()).view_as(roles) + 100 * first_clip
    counts = counts or (0,) * len(roles)
    clips = torch.arange(first_clip, first_clip + sum(counts))
    audio = {"mels": clips[:, None, None].expand(-1, 2, frames), "frames": torch.full((len(clips),), frames)}
    return Completions(ids, roles, audio if sum(counts) else {}, counts)


def clips_of(given, row):
    """The numbers of the clips in a row."""
    first = sum(given.clip_counts[:row])
    return given.audio["mels"][first : first + given.clip_counts[row], 0, 0].tolist() if given.audio else []


def test_only_sampled_tokens_train():
    one = completions([[S, F, L, A, B, S, P]], (1,))
    assert one.mask.tolist() == [[True, False, False, False, False, True, False]]
    assert torch.equal(one.mask_on_host, one.mask)


def test_the_text_is_what_the_policy_drew_without_its_end_token():
    given = completions([[S, F, L, A, B, S, P], [S, S, F, F, P, P, P], [P] * 7], (1, 0, 0))
    assert [ids.tolist() for ids in drawn_ids(given, end_ids=(5, 9))] == [[0, 4], [7, 8], []]
    assert [ids.tolist() for ids in drawn_ids(given, end_ids=(0, 7, 11))] == [[0, 4, 5], [7, 8], []]


def test_a_mask_says_what_trains_and_what_stands_before_it_is_read():
    mask = torch.tensor([[False, True, False, True, False], [False] * 5, [True] * 5])
    roles = Completions.from_mask(torch.zeros(3, 5, dtype=torch.long), mask).roles
    assert roles.tolist() == [[F, S, F, S, P], [P] * 5, [S] * 5]


def test_picking_rows_moves_their_clips_along():
    given = completions([[S, A], [S, S], [A, A], [S, A]], (1, 0, 2, 1))
    picked = given.rows(torch.tensor([2, 3, 1]))
    assert [clips_of(picked, row) for row in range(3)] == [[1, 2], [3], []]
    assert picked.ids.tolist() == [[4, 5], [6, 7], [2, 3]] and picked.roles.tolist() == [[A, A], [S, A], [S, S]]
    assert given.rows(torch.tensor([1])).audio == {}


def test_replaced_rows_bring_their_own_clips_and_width():
    given = completions([[S, A], [A, S], [A, A]], (1, 1, 2))
    fresh = completions([[S, A, A], [S, S, S]], (2, 0), first_clip=7, frames=6)
    merged = given.with_rows(torch.tensor([2, 0]), fresh)
    assert [clips_of(merged, row) for row in range(3)] == [[], [1], [7, 8]]
    assert merged.roles.tolist() == [[S, S, S], [A, S, P], [S, A, A]]
    assert merged.audio["frames"].tolist() == [4, 6, 6] and merged.audio["mels"].shape == (3, 2, 6)
    assert (merged.audio["mels"][0, :, 4:] == 0).all()  # time that clip 1 does not have


def test_groups_and_replaced_groups_of_rollouts_keep_audio_spans_and_endings():
    roles = [[S, A], [S, S], [A, S], [S, A], [S, S], [S, S]]
    given = replace(
        rollouts(),
        completions=completions(roles, (1, 0, 1, 1, 0, 0)),
        sampling_logprobs=torch.zeros(6, 2),
        finish=["end", "length", "abort", "end", "length", "end"],
        spans=[(Span(0.0, 1.0),), (), (Span(1.0, 2.0),), (), (), ()],
    )
    part = given.groups([1, 0])
    assert [clips_of(part.completions, row) for row in range(4)] == [[1], [2], [0], []]
    assert part.finish == ["abort", "end", "end", "length"] and part.finished.tolist() == [False, True, True, False]
    assert part.spans == [(Span(1.0, 2.0),), (), (Span(0.0, 1.0),), ()]
    back = given.with_groups([2], part.groups([0]))
    assert [clips_of(back.completions, row) for row in range(6)] == [[0], [], [1], [2], [1], [2]]
    assert back.finish[4:] == ["abort", "end"] and back.spans[4:] == [(Span(1.0, 2.0),), ()]
    assert back.advantages is None and back.texts[4:] == ["2", "3"]


def test_clips_that_are_not_those_of_the_rows_are_refused():
    audio = {"mels": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=r"1 completions with \(1,\) clips, but the tensors hold {'mels': 2}"):
        Completions(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long), audio, (1,))
    assert join_clips([{}, {}]) == {}
