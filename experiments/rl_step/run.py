"""Seconds of one RL optimiser step of the demo, kernels on and off, in turns: python experiments/rl_step/run.py

Needs the demo's corpus and its SFT policy (`make demo`). Each turn is a real `Trainer.fit` of the demo's DR-SAPO stage
from that policy: sampling, scoring, update. Writes results.json and results.md beside this file.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median

import pytorch_lightning as pl
import torch

from cogrl.data.module import AudioData
from cogrl.markdown import markdown_table
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import DrSapo

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
VARIANTS = {
    "plain: repeated prompt, all logits": {"share_prompt": False, "head": "reference"},
    "kernels: shared prompt, one-pass head (the default)": {},
}


class Clock(pl.Callback):
    """Seconds of each training step, the sampling ones included."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def on_train_batch_start(self, *_) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_) -> None:
        self.steps.append(time.perf_counter() - self.start)


def turn(policy: str, corpus: str, switches: dict, steps: int, seed: int) -> list[float]:
    """Seconds a rollout cycle (sampling and its two updates), the first cycle left out."""
    pl.seed_everything(seed, verbose=False)
    stage = DrSapo(
        Qwen2Audio(policy, train_language_model=False, **switches),
        sampling=Sampling(temperature=0.8, max_new_tokens=110),
    )
    data = AudioData(train=corpus, batch_size=8, max_s=4.0, seed=seed, keep_in_memory=True)
    clock = Clock()
    pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        callbacks=[clock],
        logger=False,
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(stage, data)
    cycle = stage.updates_per_rollout
    return [sum(clock.steps[i : i + cycle]) for i in range(cycle, len(clock.steps), cycle)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default=str(ROOT / "runs/demo/sft/export"))
    parser.add_argument("--corpus", default=str(ROOT / "data/lime-mini/rl.jsonl"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=14, help="optimiser steps a turn")
    args = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in range(args.rounds):
        for name, switches in VARIANTS.items():
            times[name] += turn(args.policy, args.corpus, switches, args.steps, seed)
    plain = median(next(iter(times.values())))
    result = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cycles": {name: [round(t, 4) for t in values] for name, values in times.items()},
    }
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    rows = [
        [name, f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})", f"{plain / median(values):.2f}"]
        for name, values in times.items()
    ]
    table = markdown_table(["variant", "seconds a rollout cycle, median (min to max)", "times faster"], rows)
    (HERE / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
