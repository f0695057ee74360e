"""Re-listening: which citations are heard again, what is inserted behind them, and what is counted. En: a defect of
Echo's public code.
"""

import torch
from citing import ids_of, written

from cogrl.rollout.controllers import Relisten
from cogrl.types import Role, Span


def inserted_frames(rollouts, row):
    return int((rollouts.completions.roles[row] == Role.AUDIO).sum())


def test_e1_a_cited_segment_is_cut_out_of_the_clip_and_inserted_behind_its_tag(policy, clips):
    text = "listen <seg>0.5, 1.25</seg> so"
    rollouts = written(policy, clips[:1], [text], Relisten(), after=1)
    assert rollouts.spans == [(Span(0.5, 1.25),)] and rollouts.completions.clip_counts == (1,)
    head = ids_of(policy, "listen <seg>0.5, 1.25</seg>")
    (before, behind), frames = policy.audio_markers, int(policy.audio_token_counts(torch.tensor([12_000])))
    ids = rollouts.completions.ids[0].tolist()
    expected = [*before, *[policy.audio_token_id] * frames, *behind]
    assert ids[len(head) : len(head) + len(expected)] == expected
    assert rollouts.texts[0].startswith(text)
    own = policy.audio_tensors([clips[0].waveform[8_000:20_000]])
    for name, value in rollouts.completions.audio.items():
        assert torch.equal(value, own[name])
