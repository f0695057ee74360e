"""Run by test_evaluated_ranks.py as one of `ranks` processes: validation, test and prediction; writes what came out.

Each rank has a hash seed of its own. Where the clips run out, the last rank gets no batch of its own any more.
"""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch

from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.module import AudioData
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.ranks import leave
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Align, Perceive, Sft
from cogrl.stages.align import Weight
from cogrl.types import Scores


class SomeTerms:
    """A term that is 5 wherever it applies, one of its own for each emotion, and one that never applies."""

    def score(self, answers) -> Scores:
        examples = [answer.example for answer in answers]
        known = {emotion: torch.full((len(examples),), torch.nan) for emotion in ("anger", "happy", "sad")}
        five, total = torch.full((len(examples),), torch.nan), torch.zeros(len(examples))
        for i, example in enumerate(examples):
            total[i] = len(example.id) + i / 7
            if example.emotion in known:
                known[example.emotion][i] = i + 0.25
            if example.emotion == "fear":
                five[i] = 5.0
        named = {name: values for name, values in known.items() if not values.isnan().all()}  # no set of names for all
        return Scores(total, {**named, "five": five, "never": torch.full_like(five, torch.nan)})


def main(policy: str, manifest: str, out: str, ranks: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        enable_model_summary=False,
        **settings,
    )
    rank = trainer.global_rank
    examples = read_manifest(Path(manifest))
    only_a = Path(out) / f"only_a_{ranks}_{rank}.jsonl"
    write_manifest(
        only_a, [replace(e, targets={"eips": e.targets["eips"]}) if i == 3 else e for i, e in enumerate(examples)]
    )

    found = {}
    weak = Sampling(max_new_tokens=4)

    def seeded(kind, **settings):
        pl.seed_everything(0, verbose=False)
        return kind(Qwen2Audio(policy, train_language_model=False), sampling=weak, **settings)

    for batch_size in (2, 4):
        data = AudioData(val=manifest, test=manifest, batch_size=batch_size, keep_in_memory=True)
        partly = AudioData(val=str(only_a), batch_size=batch_size)
        runs = {
            "sft": lambda data=data: trainer.validate(seeded(Sft), data, verbose=False),
            "partly": lambda partly=partly: trainer.validate(seeded(Sft, formats={"eips": 1.0}), partly, verbose=False),
            "perceive": lambda data=data: trainer.validate(seeded(Perceive), data, verbose=False),
            "align": lambda data=data: trainer.validate(seeded(Align, kd=Weight()), data, verbose=False),
            "test": lambda data=data: trainer.test(seeded(Sft, reward=SomeTerms()), data, verbose=False),
        }
        for name, run in runs.items():
            [metrics] = run()
            found[f"{name} {batch_size}"] = metrics
    (Path(out) / f"{ranks}_{rank}.json").write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
