"""Run by test_ddp.py in two processes: one RL rollout and two updates under DDP; each rank writes what it saw.

With a number behind the paths rank 0, and only rank 0, has a group of equal rewards in its first so many scorings.
"""

import json
import sys
import warnings

import pytorch_lightning as pl
import torch

from cogrl.data.module import AudioData
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo
from cogrl.stages.optim import Optim
from cogrl.types import Scores


class CountsTokens:
    def score(self, answers) -> Scores:
        total = torch.tensor([answer.text.count("e") / max(1, len(answer.text)) for answer in answers])
        return Scores(total, {"letters": total})


class FlatAtFirst:
    """The first group has equal rewards in the first `times` scorings; notes how many completions each was about."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, []

    def score(self, answers) -> Scores:
        self.asked.append(len(answers))
        total = torch.linspace(0, 1, len(answers))
        if len(self.asked) <= self.times:
            total[:4] = 0.5
        return Scores(total, {})


def main(policy: str, manifest: str, out: str, flat: str = "") -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pl.seed_everything(0, verbose=False)
    stage = DrSapo(
        Qwen2Audio(policy),
        reward=CountsTokens(),
        group_size=4,
        sampling=Sampling(max_new_tokens=6),
        optim=Optim(lr=1e-2),
        resamples=5 if flat else 0,
    )
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if flat:
        stage.reward = FlatAtFirst(int(flat) if trainer.global_rank == 0 else 0)
    rounds, log = [], stage.log

    def note(name, value, **settings):
        if name == "rollout/resampled":
            rounds.append(value)
        log(name, value, **settings)

    stage.log = note
    before = sum(p.double().abs().sum().item() for p in stage.policy.load().parameters())
    trainer.fit(stage, AudioData(train=manifest, batch_size=2))
    seen = {
        "ids": [clip.example.id for clip in stage.rollouts.clips],
        "texts": list(stage.rollouts.texts),
        "asked": getattr(stage.reward, "asked", None),
        "resampled": rounds,
        "flat": stage.flat_groups(stage.scores),
        "before": before,
        "weights": sum(p.double().abs().sum().item() for p in stage.policy.parameters()),
        "step": trainer.global_step,
        "totals": {r: stage.scores.total[[x == r for x in stage.rollouts.row_formats]].tolist() for r in stage.formats},
        "lengths": stage.rollouts.completions.mask.sum(1).tolist(),
        "logged": {name: value.item() for name, value in trainer.callback_metrics.items() if name != "train/loss"},
    }
    with open(f"{out}/rank{trainer.global_rank}.json", "w") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
