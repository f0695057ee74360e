"""Run by test_ddp.py in two processes: one RL rollout and two updates under DDP; each rank writes what it saw."""

import json
import sys
import warnings

import pytorch_lightning as pl
import torch

from cogrl.data.module import AudioData
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo
from cogrl.stages.stage import Optim
from cogrl.types import Scores


class CountsTokens:
    def score(self, completions, routes, examples) -> Scores:
        total = torch.tensor([text.count("e") / max(1, len(text)) for text in completions])
        return Scores(total, {"letters": total})


def main(policy: str, manifest: str, out: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pl.seed_everything(0, verbose=False)
    stage = DrSapo(
        Qwen2Audio(policy),
        reward=CountsTokens(),
        group_size=4,
        sampling=Sampling(max_new_tokens=6),
        optim=Optim(lr=1e-2),
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
    before = sum(p.double().abs().sum().item() for p in stage.policy.load().parameters())
    trainer.fit(stage, AudioData(train=manifest, batch_size=2))
    seen = {
        "ids": [clip.example.id for clip in stage.rollouts.clips],
        "texts": list(stage.rollouts.texts),
        "before": before,
        "weights": sum(p.double().abs().sum().item() for p in stage.policy.parameters()),
        "step": trainer.global_step,
    }
    with open(f"{out}/rank{trainer.global_rank}.json", "w") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
