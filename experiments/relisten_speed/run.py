"""What a batch gains with re-listening, and what insertions cost: python experiments/relisten_speed/run.py

A random policy of the embedded model's size is made to cite: a controller decides every token of 16 completions, two
prompts with eight each, and each completion cites two segments of its clip of ten seconds. In one run, by turns, in CPU
seconds of one thread:

- all in one call, cited at the same steps, as traces of one form are; and at 32 different steps, the worst case;
- each by itself in a call of its own;
- all citing the same seconds, with excerpts shared, and with one object a citation, so that each is encoded by itself.

An insertion is cutting and encoding the clips, embedding and reading them, and the pass of the others meanwhile. Writes
results.json and results.md beside this file.
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
        return torch.full_like(logits, -torch.inf).scatter_(1, due[:, None], 0.0), torch.ones_like(
            due, dtype=torch.bool
        )


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


def script(policy: Qwen2Audio, row: int, apart: bool) -> list[int]:
    """Two citations between fillers, at steps of the row's own where `apart`; as many tokens in every row."""
    first, second = 0.25 * (row % 8), 4 + 0.5 * (row % 5)
    cited = [f"<seg>{first:.2f}, {first + 1:.2f}</seg>", f"<seg>{second:.2f}, {second + 1:.2f}</seg>"]
    word = policy.tokenizer(" a", add_special_tokens=False).input_ids
    head, tail = (policy.tokenizer(text, add_special_tokens=False).input_ids for text in cited)
    before, between = (3 + row, 5 + row % 3) if apart else (8, 8)
    ids = [*word * before, *head, *word * between, *tail]
    return [*ids, *word * (WORDS - 1 - len(ids)), policy.end_ids[0]]


def drawn(policy, clips, scripts, group_size: int, kind: type[Relisten]) -> tuple[float, float, int]:
    """CPU seconds of a call, those of insertions among them, and how many clips were inserted."""
    watch, kept = Stopwatch(), (hf.interruption, hf.behind, hf.SharedRows.feed)
    hf.interruption, hf.behind, hf.SharedRows.feed = map(watch.around, kept)
    controllers, sampling = [Dictated(scripts), kind()], Sampling(max_new_tokens=WORDS)
    start = time.process_time()
    try:
        said = HFEngine().sample(policy, clips, ["direct"] * len(clips), sampling, group_size, controllers=controllers)
    finally:
        hf.interruption, hf.behind, hf.SharedRows.feed = kept
    return time.process_time() - start, watch.seconds, sum(said.completions.clip_counts)


def one_round(policy, clips) -> dict[str, float]:
    """Seconds of each way, by its name, and those of insertions among them."""
    same, apart = ([script(policy, row, apart) for row in range(ROWS)] for apart in (False, True))
    ways = {"in step": (same, Relisten), "apart": (apart, Relisten)}
    ways |= {"shared": ([same[0]] * ROWS, Relisten), "one object each": ([same[0]] * ROWS, OneObjectEach)}
    found = {name: drawn(policy, clips, scripts, ROWS // len(clips), kind) for name, (scripts, kind) in ways.items()}
    alone = [drawn(policy, [clips[row * len(clips) // ROWS]], [ids], 1, Relisten) for row, ids in enumerate(same)]
    found["one by one"] = tuple(sum(values) for values in zip(*alone, strict=True))
    assert {inserted for _, _, inserted in found.values()} == {2 * ROWS}, found
    seconds = {name: whole for name, (whole, _, _) in found.items()}
    return seconds | {f"{name}, insertions": inside for name, (_, inside, _) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(folder, TEXTS, window_s=SECONDS)
        policy = Qwen2Audio(folder).load().eval()
    rng, samples = np.random.default_rng(0), SECONDS * policy.sampling_rate
    sounds = [rng.normal(0, 0.1, samples).astype(np.float32) for _ in range(2)]
    clips = [Clip(Example(f"clip {i}", Path("none")), sound) for i, sound in enumerate(sounds)]
    one_round(policy, clips)  # warms up
    rounds = [one_round(policy, clips) for _ in range(args.rounds)]

    def ratio(above: str, below: str, factor: float = 1.0) -> str:
        found = bootstrap_mean(
            [factor * one[above] / one[below] for one in rounds], [str(i) for i in range(len(rounds))]
        )
        return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"

    median = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    names = {
        "in step": "one call, cited at the same steps",
        "apart": "one call, cited at 32 different steps",
        "shared": "one call, the same seconds, encoded once",
        "one object each": "one call, the same seconds, each encoded",
        "one by one": "16 calls of one row",
    }
    rows = [
        [text, f"{ROWS / median[name]:.1f}", ratio("one by one", name), ratio(f"{name}, insertions", name, 100)]
        for name, text in names.items()
    ]
    about = {"threads": torch.get_num_threads(), "torch": torch.__version__, "machine": platform.machine()}
    rounded = [{name: round(value, 5) for name, value in one.items()} for one in rounds]
    result = about | {"rows": ROWS, "tokens a row": WORDS, "CPU seconds by round": rounded}
    (HERE / "results.json").write_text(json.dumps(result) + "\n")
    head = [
        "16 completions of 96 tokens, two segments of 1 s each",
        "rows/s",
        "times one by one",
        "insertions, % of the time",
    ]
    table = markdown_table(head, rows)
    (HERE / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
