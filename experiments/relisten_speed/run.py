"""What a batch gains with re-listening, and what insertion costs: python experiments/relisten_speed/run.py

A random policy of the embedded model's size is made to cite: a controller decides every token of 16 completions, each of
which cites two segments of its clip of ten seconds, at steps that differ from row to row. In one run, by turns, in CPU
seconds of one thread:

- 16 prompts in one call, and the same one call each;
- 2 prompts with 8 completions each that cite the same segments, with excerpts shared and with one object a citation, so
  that each is encoded by itself;
- the share of the time of a call that insertions take: cutting and encoding the clips, embedding and reading them.

Writes results.json and results.md beside this file.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cogrl.evaluate.stats import bootstrap_mean
from cogrl.markdown import markdown_table
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.tiny import build_tiny_model
from cogrl.rollout import Controller, HFEngine, Sampling, hf
from cogrl.rollout.controllers import Relisten
from cogrl.types import Clip, Example

HERE = Path(__file__).parent
ROWS, SECONDS, WORDS = 16, 10, 96
TEXTS = ["listen to the voice <seg>1, 2</seg> and once more <seg>4.5, 5.5</seg> so it is"]


class Dictated(Controller):
    """Decides what each row draws; the last token is the end token. Every row costs what its own draws would."""

    def __init__(self, scripts: list[list[int]]) -> None:
        width = max(map(len, scripts))
        self.scripts = torch.tensor([[*ids, *[ids[-1]] * (width - len(ids))] for ids in scripts])

    def begin(self, policy, inputs, group_size) -> None:
        self.step = 0

    def adjust(self, logits, rows):
        due = self.scripts[rows, self.step]
        self.step += 1
        return torch.full_like(logits, -torch.inf).scatter_(1, due[:, None], 0.0), torch.ones_like(due, dtype=torch.bool)


class OneObjectEach(Relisten):
    """The same insertions, none of them shared."""

    def insertion(self, request):
        excerpt, *counts = super().insertion(request)
        return replace(excerpt), *counts


class Stopwatch:
    """CPU seconds in some functions of the engine, those of one within another counted once."""

    def __init__(self) -> None:
        self.seconds, self.inside = 0.0, False

    def around(self, function: Callable) -> Callable:
        def timed(*args: Any) -> Any:
            if self.inside:
                return function(*args)
            start, self.inside = time.process_time(), True
            try:
                return function(*args)
            finally:
                self.seconds, self.inside = self.seconds + time.process_time() - start, False

        return timed


def script(policy: Qwen2Audio, row: int) -> list[int]:
    """Two citations at steps of the row's own, between fillers; as many tokens in every row."""
    first, second = 0.25 * (row % 8), 4 + 0.5 * (row % 5)
    cited = [f"<seg>{first:.2f}, {first + 1:.2f}</seg>", f"<seg>{second:.2f}, {second + 1:.2f}</seg>"]
    word = policy.tokenizer(" a", add_special_tokens=False).input_ids
    head, tail = (policy.tokenizer(text, add_special_tokens=False).input_ids for text in cited)
    ids = [*word * (3 + row), *head, *word * (5 + row % 3), *tail]
    return [*ids, *word * (WORDS - 1 - len(ids)), policy.end_ids[0]][: WORDS - 1] + [policy.end_ids[0]]


def drawn(policy, clips, scripts, group_size: int, kind: type[Relisten]) -> tuple[float, float, int]:
    """CPU seconds of a call, those of insertions among them, and how many clips were inserted."""
    watch, kept = Stopwatch(), (hf.interruption, hf.behind, hf.RunningRows.feed)
    hf.interruption, hf.behind, hf.RunningRows.feed = map(watch.around, kept)
    controllers, sampling = [Dictated(scripts), kind()], Sampling(max_new_tokens=WORDS)
    start = time.process_time()
    try:
        said = HFEngine().sample(policy, clips, ["direct"] * len(clips), sampling, group_size, controllers=controllers)
    finally:
        hf.interruption, hf.behind, hf.RunningRows.feed = kept
    return time.process_time() - start, watch.seconds, sum(said.completions.clip_counts)


def one_round(policy, clips, scripts) -> dict[str, float]:
    """Seconds of each way, by its name, and the clips that were inserted."""
    batch, inside, inserted = drawn(policy, clips, scripts, 1, Relisten)
    each = [drawn(policy, [clip], [ids], 1, Relisten) for clip, ids in zip(clips, scripts, strict=True)]
    same = [scripts[0]] * ROWS
    shared, shared_inside, _ = drawn(policy, clips[:2], same, ROWS // 2, Relisten)
    separate, separate_inside, _ = drawn(policy, clips[:2], same, ROWS // 2, OneObjectEach)
    assert inserted == 2 * ROWS and sum(one[2] for one in each) == inserted, (inserted, [one[2] for one in each])
    return {
        "batch": batch,
        "batch, insertions": inside,
        "one by one": sum(one[0] for one in each),
        "groups, shared": shared,
        "groups, shared, insertions": shared_inside,
        "groups, one object each": separate,
        "groups, one object each, insertions": separate_inside,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(folder, TEXTS, window_s=SECONDS)
        policy = Qwen2Audio(folder).load().eval()
    rng, samples = np.random.default_rng(0), SECONDS * policy.sampling_rate
    sounds = [rng.normal(0, 0.1, samples).astype(np.float32) for _ in range(ROWS)]
    clips = [Clip(Example(f"clip {i}", Path("none")), sound) for i, sound in enumerate(sounds)]
    scripts = [script(policy, row) for row in range(ROWS)]
    one_round(policy, clips, scripts)  # warms up
    rounds = [one_round(policy, clips, scripts) for _ in range(args.rounds)]

    def ratio(above: str, below: str, factor: float = 1.0) -> str:
        found = bootstrap_mean([factor * one[above] / one[below] for one in rounds], [str(i) for i in range(len(rounds))])
        return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"

    median = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    rows = [
        ["16 rows in one call, rows/s", f"{ROWS / median['batch']:.1f}"],
        ["one row a call, rows/s", f"{ROWS / median['one by one']:.1f}"],
        ["one call is faster by a factor of", ratio("one by one", "batch")],
        ["insertions, % of the call of 16", ratio("batch, insertions", "batch", 100)],
        ["2 x 8 rows that cite the same, encoded once: rows/s", f"{ROWS / median['groups, shared']:.1f}"],
        ["the same, each citation encoded: rows/s", f"{ROWS / median['groups, one object each']:.1f}"],
        ["encoding once is faster by a factor of", ratio("groups, one object each", "groups, shared")],
        ["insertions encoded once, % of the call", ratio("groups, shared, insertions", "groups, shared", 100)],
        ["insertions each encoded, % of the call", ratio(
            "groups, one object each, insertions", "groups, one object each", 100)],
    ]
    about = {"threads": torch.get_num_threads(), "torch": torch.__version__, "machine": platform.machine()}
    rounded = [{name: round(value, 5) for name, value in one.items()} for one in rounds]
    result = about | {"rows": ROWS, "tokens a row": WORDS, "CPU seconds by round": rounded}
    (HERE / "results.json").write_text(json.dumps(result) + "\n")
    table = markdown_table(["16 completions of 96 tokens, two segments of 1 s each", "median, or ratio (95 % over rounds)"], rows)
    (HERE / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
