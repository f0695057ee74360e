"""What PAUSE's bookkeeping costs a decode step: python experiments/pause/run.py

64 completions of a random policy of the embedded model's size are drawn at once. In one and the same run `Pause` takes
part in every second step; each such step is compared with the mean of its two neighbours, in CPU seconds of one thread.
Its thresholds are 0, so that everything is kept and compared and nothing is inserted: the difference is the bookkeeping.
Writes results.json and results.md beside this file.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from cogrl.evaluate.stats import bootstrap_mean
from cogrl.formats.paqa import SECTIONS
from cogrl.markdown import markdown_table
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.tiny import build_tiny_model
from cogrl.rollout import Controller, HFEngine, Sampling
from cogrl.rollout.controller import in_training
from cogrl.rollout.controllers import Filler, HiddenSpan, Keywords, Pause

HERE = Path(__file__).parent
BATCH, STEPS, GROUP = 64, 65, 8


def pause(**settings) -> Pause:
    controller = Pause(**({"latent": Filler("<thought>")} | settings))
    controller.lowest.add(torch.zeros(64))
    return controller


VARIANTS = {
    "filler": pause,
    "filler, with keywords and `until`": lambda: pause(until="response", keywords=Keywords()),
    "hidden span": lambda: pause(latent=HiddenSpan()),
}


class EverySecondStep(Controller):
    """Hands every second step on to another controller, and notes when each step begins. Nothing ends."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def begin(self, policy, inputs, group_size) -> None:
        self.ends = torch.tensor(policy.end_ids)
        self.times: list[float] = []
        with in_training([self.controller]):
            self.controller.begin(policy, inputs, group_size)

    @property
    def on(self) -> bool:
        return len(self.times) % 2 == 0

    def adjust(self, logits, rows):
        self.times.append(time.process_time())
        logits = logits.index_fill(1, self.ends, -torch.inf)
        return self.controller.adjust(logits, rows) if self.on else (logits, None)

    def hidden(self, rows):
        return self.controller.hidden(rows) if self.on else None

    def after(self, tokens, logprobs, rows):
        if not self.on:
            return {}
        with in_training([self.controller]):
            return self.controller.after(tokens, logprobs, rows)


def compared(policy, prompts, controller: Controller, seed: int) -> list[tuple[float, float]]:
    """Seconds of each step with `controller`, and of its neighbours without; the first steps warm up."""
    within = EverySecondStep(controller)
    within.begin(policy, [None] * len(prompts.input_ids), GROUP)
    generator = torch.Generator().manual_seed(seed)
    HFEngine().complete(policy, prompts, Sampling(max_new_tokens=STEPS), GROUP, generator, [within])
    steps = np.diff(within.times)
    return [(float(steps[i]), float(steps[i - 1] + steps[i + 1]) / 2) for i in range(5, len(steps) - 1, 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=24)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(folder, ["a voice with a high pitch, in a noise", *SECTIONS.values()])
        policy = Qwen2Audio(folder).load().eval()
    clips = [np.random.default_rng(i).normal(0, 0.1, 48_000).astype(np.float32) for i in range(BATCH // GROUP)]
    prompts = policy.encode_prompts(["What is heard?"] * len(clips), clips, [f"clip {i}" for i in range(len(clips))])
    pairs: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in VARIANTS}
    for seed in range(args.rounds):
        for name, make in VARIANTS.items():
            pairs[name].append(compared(policy, prompts, make(), seed))
    rows = []
    for name, calls in pairs.items():
        extra = np.array([np.median([on - off for on, off in call]) for call in calls])
        step = np.array([np.median([off for _, off in call]) for call in calls])
        share = bootstrap_mean(100 * extra / step, [str(i) for i in range(len(calls))])
        rows.append(
            [
                name,
                f"{1e3 * np.median(step):.2f}",
                f"{1e6 * np.median(extra):.0f}",
                f"{share.mean:.1f} [{share.low:.1f}, {share.high:.1f}]",
            ]
        )
    result = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "batch": BATCH,
        "rounds": args.rounds,
        "seconds with and without, step by step": {
            name: [[[round(on, 6), round(off, 6)] for on, off in call] for call in calls]
            for name, calls in pairs.items()
        },
    }
    (HERE / "results.json").write_text(json.dumps(result) + "\n")
    head = ["PAUSE", "decode step without, ms", "bookkeeping, us", "share of the step, % (95 % over the calls)"]
    table = markdown_table(head, rows)
    (HERE / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
