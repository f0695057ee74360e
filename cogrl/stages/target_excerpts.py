"""Cited segments in the targets of fine-tuning: behind each `</seg>` the policy reads those seconds once more."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.nn.utils.rnn import pad_sequence

from cogrl.formats.segments import CLOSED, Citation, SegmentRules
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.excerpts import excerpt_of
from cogrl.rollout.insertions import clip_tokens
from cogrl.stages.target_fillers import split
from cogrl.types import Clip, Completions, Example, Role, Waveform


@dataclass(frozen=True)
class TargetExcerpts:
    """The segments that a target cites, inserted as `cogrl.rollout.controllers.Relisten` does while sampling.

    The paper fine-tunes on the text alone and inserts from RL on (Echo, arXiv:2602.11909); a policy that has never read
    an insertion takes it for another task. Inserted tokens are read and do not train, what follows them does.

    Args:
        rules: those of the controller.
        share: the probability with which each segment is inserted in training, drawn anew in every step: 0.5 is insert
            dropout, after which the policy answers with insertions and without. In validation all of them are.

    Raises ValueError for a share outside (0, 1].
    """

    rules: SegmentRules = field(default_factory=SegmentRules)
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"target_excerpts: share={self.share} must lie in (0, 1]; for no insertions leave it out")

    def validate(self, example: Example, format: str) -> str | None:
        """Why a target can not be read with its segments, and what to do; None when it can."""
        text = example.targets.get(format, "")
        if CLOSED in text and example.duration_s is None:
            return f"targets.{format} cites a segment, which can not be checked without duration_s; add it to this line"
        reason = first_invalid(self.rules.citations(text, example.duration_s or 0.0), text)
        return reason and f"targets.{format} {reason}: correct the times, or the rules of the segments"

    def inserted(
        self,
        targets: Completions,
        texts: Sequence[str],
        clips: Sequence[Clip],
        policy: AudioLM,
        draw: random.Random | None,
    ) -> Completions:
        """The encoded `texts` with segments behind the tokens that complete their tags; `draw` None: all of them.

        Raises ValueError for a target that `validate` refuses.
        """
        ids, roles, cuts = [], [], []
        for row, text, clip in zip(split(targets), texts, clips, strict=True):
            row_ids, row_roles, waveforms = self._row(row, text, clip, policy, draw)
            ids.append(row_ids)
            roles.append(row_roles)
            cuts.append(waveforms)
        waveforms = [waveform for row in cuts for waveform in row]
        audio = policy.excerpt_tensors(waveforms) if waveforms else {}
        return Completions(
            pad_sequence(ids, batch_first=True, padding_value=policy.tokenizer.pad_token_id),
            pad_sequence(roles, batch_first=True, padding_value=int(Role.PAD)),
            audio,
            tuple(map(len, cuts)),
        ).to(targets.ids.device)

    def _row(
        self, ids: torch.Tensor, text: str, clip: Clip, policy: AudioLM, draw: random.Random | None
    ) -> tuple[torch.Tensor, torch.Tensor, list[Waveform]]:
        """The ids and roles of one target, and the samples of the segments in it."""
        rate = policy.sampling_rate
        cited = self.rules.citations(text, len(clip.waveform) / rate)
        reason = first_invalid(cited, text)
        if reason:
            raise ValueError(f"{clip.example.where} ({clip.example.id}): its target {reason}; correct the times")
        chosen = [one for one in cited if draw is None or draw.random() < self.share]
        found, roles, waveforms, start = [], [], [], 0
        for citation, end in zip(chosen, token_ends(chosen, text, policy), strict=True):
            waveforms.append(excerpt_of(clip.waveform, citation.span, rate).waveform)
            count = int(policy.excerpt_token_counts(torch.tensor([len(waveforms[-1])])))
            placed = torch.tensor(clip_tokens(policy, count))
            found += [ids[start:end], placed[:, 0]]
            roles += [torch.full((end - start,), int(Role.SAMPLED)), placed[:, 1]]
            start = end
        found.append(ids[start:])
        roles.append(torch.full((len(ids) - start,), int(Role.SAMPLED)))
        return torch.cat(found), torch.cat(roles), waveforms


def first_invalid(citations: Sequence[Citation], text: str) -> str | None:
    """What is wrong with the first citation that is not valid; None when all are."""
    bad = next((one for one in citations if one.invalid), None)
    return bad and f"cites {text[bad.start : bad.end]!r}, which is {bad.invalid}"


def token_ends(citations: Sequence[Citation], text: str, policy: AudioLM) -> list[int]:
    """Of each tag, how many tokens of the text there are up to the one that completes it."""
    if not citations:
        return []
    offsets = policy.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return [next(i for i, (_, end) in enumerate(offsets, start=1) if end >= one.end) for one in citations]
