"""Stages in training on four clips, by a name: on two ranks with two of them each, or in one process with all.

The one process draws the samples of each rank with that rank's generator, so that both learn from the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cogrl.audio import load_audio
from cogrl.codecs.mel_rvq import MelRvq, MelRvqSizes
from cogrl.data.manifest import read_manifest
from cogrl.formats.answer import Answer
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.speak import SpeakSettings
from cogrl.models.speak_decoder import SpeakSizes
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Align, Distill, DrSapo, Grpo, Sft, Speak
from cogrl.stages.align import Weight
from cogrl.stages.objective import Objective
from cogrl.stages.optim import Optim
from cogrl.stages.rl import RLStage
from cogrl.stages.rollout_buffer import RolloutBuffer
from cogrl.stages.target_excerpts import TargetExcerpts
from cogrl.types import Clip, ClipBatch, Rollouts, SpokenReply

RANKS, CLIPS, STEPS = 2, 2, 4
"""Ranks, clips of a batch on each of them, and optimiser steps."""
LENGTHS = (1.4, 0.5, 0.9, 1.1)
SECOND = "second rank"
CODEC = MelRvq(MelRvqSizes(mel_bins=20, components=6, codebooks=2, size=12))
"""With weights of zero: its units are trained on and never decoded."""


def letters(answer: Answer) -> float:
    """A reward that differs between completions."""
    return answer.text.count("e") / max(1, len(answer.text))


def letters_of_first(answer: Answer) -> float:
    """The same to all completions of the second rank."""
    return 0.5 if answer.example.speaker == SECOND else letters(answer)


def sft(policy: Qwen2Audio, **settings: Any) -> Sft:
    return Sft(policy, formats={"eips": 1.0}, **settings)


def excerpts(policy: Qwen2Audio, **settings: Any) -> Sft:
    """Audio is inserted into the targets of the first rank alone, see `clips_of`."""
    return Sft(policy, formats={"direct": 1.0}, target_excerpts=TargetExcerpts(), **settings)


def align(policy: Qwen2Audio, **settings: Any) -> Align:
    terms = {"kd": Weight(0.5), "emotion": Weight(1.0), "dimensions": Weight(1.0)}
    return Align(policy, **terms, responses="teacher", formats={"direct": 1.0}, **settings)


def distill(policy: Qwen2Audio, **settings: Any) -> Distill:
    return Distill(policy, on_policy=1.0, formats={"direct": 1.0}, **settings)


def speak(policy: Qwen2Audio, **settings: Any) -> Speak:
    """Writes and speaks; the two ranks have streams of other lengths, see `clips_of`."""
    return Speak(policy, formats={"direct": 1.0}, **settings)


def dr_sapo(policy: Qwen2Audio, **settings: Any) -> DrSapo:
    return DrSapo(policy, reward=letters, group_size=4, **settings)


def flat(policy: Qwen2Audio, **settings: Any) -> DrSapo:
    """The groups of the second rank have no signal, however often they are drawn anew."""
    return DrSapo(policy, reward=letters_of_first, group_size=4, resamples=2, **settings)


def grpo(policy: Qwen2Audio, **settings: Any) -> Grpo:
    """Held to the policy of its folder, or to what it is without its adapters."""
    reference, objective = "base" if policy.lora else policy.path, Objective(kind="grpo", kl_coef=0.1)
    return Grpo(policy, objective, reference=reference, reward=letters, group_size=4, formats=("direct",), **settings)


SAMPLED, UPDATES = ("dr_sapo", "flat", "grpo"), 2
"""Stages that learn from rollouts, and how many updates each rollout has."""
STAGES = {make.__name__: make for make in (sft, excerpts, align, distill, speak, dr_sapo, flat, grpo)}


def clips_of(manifest: str) -> list[Clip]:
    """Clips of other lengths than they have (tiled or cut), so that prompts are ragged; those of rank 1 come last."""
    found = []
    for number, (example, seconds) in enumerate(zip(read_manifest(manifest), LENGTHS, strict=False)):
        second = number >= CLIPS
        said = example.targets["direct"] + ("" if second else " <seg>0.1, 0.4</seg> so")
        example = replace(
            example,
            speaker=SECOND if second else example.speaker,
            targets={**example.targets, "direct": said},
            spoken_reply=SpokenReply(example.audio, said, "sad", CODEC.fingerprint, ((1, 2),) * (2 + 3 * number)),
            duration_s=seconds,
        )
        waveform = np.resize(load_audio(example.audio, name=example.id), int(16_000 * seconds))
        found.append(Clip(example, waveform))
    return found


class ByRank(RolloutBuffer):
    """The same places in the groups of each of `ranks`; `lengths` of all completions there were."""

    def __init__(self, ranks: range) -> None:
        super().__init__()
        self.ranks, self.lengths, self.filled = ranks, [], 0

    def fill(self, rollouts: Rollouts, parts: int, passes: int, step: int) -> None:
        self.lengths += rollouts.completions.mask.sum(1).tolist()
        shuffled = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(self.filled))
        order, self.filled = [part.tolist() for part in shuffled.chunk(parts)], self.filled + 1
        self.cut(rollouts, [[i + rank * CLIPS for rank in self.ranks for i in part] for part in order], step)


def drawn_by_rank(stage: Any, one: bool) -> Any:
    """`stage`, whose samples depend on step and rank alone; with `one` those of all ranks, one after another."""
    kind = type(stage)

    class Drawn(kind):
        rank = 0
        global_rank = property(lambda self: self.rank if one else self.trainer.global_rank)

        def by_rank(self, clips: Sequence[Clip], draw: Callable[[list[int]], Rollouts]) -> Rollouts:
            """What `draw` draws of the clips at some places: of all, or of each rank's and put together."""
            whole = draw(list(range(len(clips))))
            for self.rank in range(RANKS if one else 0):
                mine = [i for i, clip in enumerate(clips) if (clip.example.speaker == SECOND) == bool(self.rank)]
                whole = whole.with_groups(mine, draw(mine)) if mine else whole
            self.rank = 0
            return whole

        def draw(self, batch: ClipBatch, format: str) -> Rollouts:
            def mine(index: list[int]) -> Rollouts:
                torch.manual_seed(1000 * self.global_step + 10 * self.global_rank + len(format))
                return kind.draw(self, ClipBatch([batch.clips[i] for i in index]), format)

            return self.by_rank(batch.clips, mine)

        def sample(self, clips: Sequence[Clip], formats: Sequence[str], attempt: int = 0) -> Rollouts:
            def mine(index: list[int]) -> Rollouts:
                return kind.sample(self, [clips[i] for i in index], [formats[i] for i in index], attempt)

            return self.by_rank(clips, mine)

    stage.__class__ = Drawn
    if isinstance(stage, RLStage):
        stage.buffer = ByRank(range(RANKS if one else 1))
    return stage


def trained(
    kind: str,
    folder: str,
    clips: Sequence[Clip],
    rank: int | None,
    lora: bool = False,
    accumulate: int = 1,
    clip_val: float | None = None,
    **trainer: Any,
) -> tuple[Any, list[float]]:
    """A stage after `STEPS` steps on the clips of `rank` (None: of all, in one process), and the loss of each.

    With `accumulate` 2 a step takes the clips one by one (RL: the parts of one rollout, which has one update then), and
    the losses are those of the micro-batches.
    """
    pl.seed_everything(0, verbose=False)
    adapters = {"lora": Lora(rank=2, dropout=0.0), "train_audio_tower": False} if lora else {}
    speech = {"speech": SpeakSettings(f"{folder}/codec", sizes=SpeakSizes(2, 16, 1, 2))} if kind == "speak" else {}
    policy = Qwen2Audio(folder, **adapters, **speech)
    settings = {"optim": Optim(lr=1e-3), "sampling": Sampling(max_new_tokens=12)}
    if kind in SAMPLED:
        settings["updates_per_rollout"] = UPDATES // accumulate
    stage = drawn_by_rank(STAGES[kind](policy, **settings), one=rank is None)
    losses, log = [], stage.log

    def note(name: str, value: Any, *args: Any, **settings: Any) -> None:
        if name == "train/loss":
            losses.append(float(value))
        log(name, value, *args, **settings)

    stage.log = note
    ranks = range(RANKS) if rank is None else (rank,)
    own = [clips[each * CLIPS : (each + 1) * CLIPS] for each in ranks]
    cut = 1 if kind in SAMPLED else accumulate  # a rollout is cut by the stage
    parts = [[clip for of_rank in own for clip in of_rank[m::cut]] for m in range(cut)]
    run = pl.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        devices=1 if rank is None else RANKS,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip_val,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **trainer,
    )
    run.fit(stage, DataLoader([ClipBatch(part) for part in parts] * STEPS, batch_size=None))
    return stage, losses
