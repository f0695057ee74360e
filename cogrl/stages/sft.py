"""Supervised fine-tuning on the targets of one format or of a mix. (arXiv:2606.06940, stage I: eips alone)"""

import random
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.formats import format_named
from cogrl.model_input import audio_input, teacher_input, text_input
from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.reduce import sequence_mean
from cogrl.stages.stage import Stage
from cogrl.stages.target_excerpts import TargetExcerpts
from cogrl.stages.target_fillers import TargetFillers
from cogrl.types import ClipBatch, Completions, Example, ModelInput, Prompts, Role

_INPUTS = {"audio": audio_input, "words": text_input, "description": teacher_input}


class Sft(Stage):
    """Cross-entropy on the target (end token included), mean over each sample's tokens, then over samples.

    Targets of eips are several times longer than direct ones; the mean per sample keeps their weights equal.

    Args:
        formats: the share of the samples that are asked and answered in each format; the shares sum to 1. By default
            half `eips`, half `direct`; the paper's stage I is `{eips: 1.0}`.
        reads: the policy's input. "audio" is the clip. In its place "description" is the text of words and emotion (see
            `model_input.teacher_input`): how a random language model becomes the text model that `Align` wants as a
            teacher; "words" are the words alone: the text-only model beside one that hears. Both are not for a policy
            whose audio modules are trained.
        target_fillers: latent tokens in the training targets, for a policy that is to pause later; None: none.
        target_excerpts: the segments that targets cite, inserted behind their tags; None: the text alone.
    """

    def __init__(
        self,
        policy: AudioLM,
        formats: dict[str, float] | None = None,
        reads: Literal["audio", "words", "description"] = "audio",
        target_fillers: TargetFillers | None = None,
        target_excerpts: TargetExcerpts | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        if target_fillers and target_excerpts:
            raise ValueError("target_fillers and target_excerpts: targets take one of them, as yet")
        self.target_fillers, self.target_excerpts = target_fillers, target_excerpts
        self.shares, self.reads = checked_shares(formats or {"eips": 0.5, "direct": 0.5}), reads
        self.formats = self.validated = tuple(self.shares)

    def lacks_target(self, example: Example, format: str) -> bool:
        """Whether a loss in this format could not be computed for an example."""
        return not example.targets.get(format)

    def validate(self, example: Example) -> str | None:
        missing = [format for format in self.formats if self.lacks_target(example, format)]
        if missing:
            return f"no target for format {missing[0]}; add targets.{missing[0]} to this line"
        if self.reads != "audio" and not example.text:
            return "no text to read; add it to this line or train with reads: audio"
        cited = (self.target_excerpts.validate(example, format) for format in example.targets if self.target_excerpts)
        return next(filter(None, cited), None) or super().validate(example)

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self.validated = self.formats_to_validate(self.examples("val"))

    def formats_to_validate(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """The formats that train, and one that does not where every example can be asked in it and has a target for it.

        Decided on all validation examples, so alike on every rank. Warns of a format that only some have a target for.
        """
        chosen = list(self.formats)
        for format in dict.fromkeys(name for example in examples for name in example.targets):
            if format in chosen or any(format_named(format).validate(example) for example in examples):
                continue
            missing = [example for example in examples if not example.targets.get(format)]
            if not missing:
                chosen.append(format)
                continue
            rank_zero_warn(
                f"val/loss_{format} is left out: {len(missing)} of {len(examples)} validation lines have no target for "
                f"format {format}, which this stage does not train; the first is {missing[0].where} ({missing[0].id})"
            )
        return tuple(chosen)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> torch.Tensor:
        draw = random.Random(f"{self.current_epoch}/{batch_idx}/{self.global_rank}")
        formats = [drawn_format(self.shares, draw) for _ in batch.clips]
        loss = self.loss(batch, formats)
        self.log("train/loss", loss, batch_size=len(batch), prog_bar=True)
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        for format in self.validated:
            self.means.add(f"val/loss_{format}", self.loss(batch, [format] * len(batch)), batch.count)

    def loss(self, batch: ClipBatch, formats: list[str]) -> torch.Tensor:
        """Mean negative log-likelihood of the targets in these formats."""
        prompts = self.encode(batch, formats, [_INPUTS[self.reads](clip) for clip in batch.clips])
        targets = self.targets(batch, formats)
        self.check_positions(batch, prompts, targets)
        tokens = self.policy.token_logprobs(prompts, targets)
        return sequence_mean(-tokens.logprobs, targets.mask, len(batch))

    def targets(self, batch: ClipBatch, formats: Sequence[str]) -> Completions:
        """The targets in these formats, with what is inserted into them at places that depend on the step alone."""
        texts = [clip.example.target(format) for clip, format in zip(batch.clips, formats, strict=True)]
        targets = self.policy.encode_targets(texts)
        if self.target_excerpts:
            draw = random.Random(f"excerpts/{self.global_step}/{self.global_rank}") if self.training else None
            return self.target_excerpts.inserted(targets, texts, batch.clips, self.policy, draw)
        if not (self.target_fillers and self.training):
            return targets
        draw = random.Random(f"fillers/{self.global_step}/{self.global_rank}")
        return self.target_fillers.inserted(targets, self.policy, draw)

    def check_positions(self, batch: ClipBatch, prompts: Prompts, targets: Completions) -> None:
        """Raises ValueError for a target that with its segments does not fit into the policy's positions."""
        if not self.target_excerpts:
            return
        lengths = prompts.mask_on_host.sum(1) + (targets.roles_on_host != Role.PAD).sum(1)
        longest = int(lengths.argmax())
        if lengths[longest] > self.policy.max_positions:
            example = batch.clips[longest].example
            raise ValueError(
                f"{example.where} ({example.id}): prompt, target and inserted segments take {int(lengths[longest])} "
                f"tokens; this model has {self.policy.max_positions} positions: cite less, or leave the line out"
            )

    def encode(self, batch: ClipBatch, formats: Sequence[str], inputs: Sequence[ModelInput]) -> Prompts:
        """The prompts of these formats with these inputs."""
        examples = [clip.example for clip in batch.clips]
        asked = [format_named(name).instruction(e) for name, e in zip(formats, examples, strict=True)]
        return self.policy.encode_prompts(asked, inputs, [example.id for example in examples])


def checked_shares(formats: Mapping[str, float]) -> dict[str, float]:
    """The formats with a share above 0. Raises ValueError for an unknown format, and unless the shares sum to 1."""
    for name in formats:
        format_named(name)
    if min(formats.values()) < 0 or abs(sum(formats.values()) - 1) > 1e-6:
        raise ValueError(f"formats={dict(formats)}: the shares must not be negative and must sum to 1")
    return {name: share for name, share in formats.items() if share > 0}


def drawn_format(shares: Mapping[str, float], draw: random.Random) -> str:
    """A format by its share; the same random numbers draw the same formats in whatever order the mix is written."""
    names = sorted(shares)
    ends = accumulate(shares[name] for name in names)
    number = draw.random()
    return next((name for name, end in zip(names, ends, strict=True) if number < end), names[-1])
