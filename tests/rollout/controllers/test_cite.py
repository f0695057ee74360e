"""Where the policy is unsure it is made to cite: forced tokens are text and do not train, the times are its own."""

from pathlib import Path

import pytest
import torch
from citing import ids_of
from interruptions import Forbid

from cogrl.cli.controllers import read_controllers
from cogrl.rollout import HFEngine, Sampling
from cogrl.rollout.controllers import Cite, Pause, Relisten
from cogrl.types import Role, Span

CONFIG = Path(__file__).parents[3] / "configs/controllers/pause_relisten.yaml"
TIMES = "0.5, 1</seg> a"


class WritesTimes(Forbid):
    """Behind an opened tag the policy writes these times, by its own likes: everything else is forbidden."""

    def begin(self, policy, inputs, group_size):
        self.opened, self.times = ids_of(policy, " <seg>"), ids_of(policy, TIMES)
        self.written = [[] for _ in range(len(inputs) * group_size)]

    def adjust(self, logits, rows):
        logits, _ = super().adjust(logits, rows)
        for i, row in enumerate(rows.tolist()):
            rest = self.rest(self.written[row])
            if rest:
                logits[i] = torch.full_like(logits[i], -torch.inf).index_fill(0, torch.tensor(rest[:1]), 0.0)
        return logits, None

    def rest(self, ids):
        """What is to be written behind the last opened tag."""
        n = len(self.opened)
        ends = [i for i in range(n, len(ids) + 1) if ids[i - n : i] == self.opened]
        return self.times[len(ids) - ends[-1] :] if ends else []

    def after(self, tokens, logprobs, rows):
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            self.written[row].append(token)
        return {}


def unsure(latent, **settings):
    """Pauses wherever it may."""
    controller = Pause(latent, window=1, abort_quantile=None, **settings)
    controller.lowest.add(torch.full((64,), 1.1))
    return controller


def sampled(policy, clips, *controllers, group_size=1, count=48):
    settings = Sampling(max_new_tokens=count), group_size
    formats, generator = ["eips"] * len(clips), torch.Generator().manual_seed(0)
    return HFEngine().sample(policy, clips, formats, *settings, generator=generator, controllers=controllers)


def test_a_low_confidence_opens_a_citation_whose_segment_is_heard_again(sharp, clips):
    pause, writes = unsure(Cite(), gap=40, max_pauses=1), WritesTimes(sharp.end_ids)
    rollouts = sampled(sharp, clips[:1], writes, Relisten(), pause, group_size=2)
    opened, times = ids_of(sharp, " <seg>"), ids_of(sharp, TIMES)
    for row in range(2):
        assert rollouts.spans[row] == (Span(0.5, 1.0),)
        roles = rollouts.completions.roles[row]
        assert rollouts.completions.ids[row][roles == Role.BENT].tolist() == opened
        drawn = rollouts.completions.ids[row][(roles == Role.BENT) | (roles == Role.SAMPLED)].tolist()
        assert drawn[1 : 1 + len(opened) + len(times)] == [*opened, *times]  # behind the first token it was unsure of
        assert f" <seg>{TIMES}" in rollouts.texts[row] and rollouts.texts[row].count("<seg>") == 1
    assert pause.metrics(rollouts)["pauses"].tolist() == [1, 1]
    assert pause.metrics(rollouts)["latent_tokens"].tolist() == [len(opened)] * 2


def test_a_citation_under_way_is_not_opened_a_second_time(sharp, clips):
    pause = unsure(Cite(), gap=1, max_pauses=3)
    rollouts = sampled(sharp, clips[:1], Forbid(sharp.end_ids), pause)
    opened, roles = ids_of(sharp, " <seg>"), rollouts.completions.roles[0]
    assert rollouts.completions.ids[0][roles == Role.BENT].tolist() == opened * 3
    learned = pause.lowest_confidences(rollouts)
    assert learned.isfinite().all()  # forced tokens are sure, and in the window


def test_only_the_forced_tokens_do_not_train(sharp, clips):
    rollouts = sampled(sharp, clips[:2], Forbid(sharp.end_ids), unsure(Cite(), gap=9, max_pauses=2), group_size=2)
    bent = rollouts.completions.roles == Role.BENT
    assert (bent.sum(1) == 2 * len(ids_of(sharp, " <seg>"))).all()
    assert torch.equal(rollouts.completions.mask, ~bent) and (rollouts.sampling_logprobs[bent] == 0).all()


def test_what_does_not_open_a_citation_is_refused():
    with pytest.raises(ValueError, match="opened='<seg> ' of a forced citation must end in <seg>"):
        Cite("<seg> ")


def test_the_file_names_both_controllers():
    relisten, pause = read_controllers(CONFIG)
    assert isinstance(relisten, Relisten) and isinstance(pause, Pause) and isinstance(pause.latent, Cite)
