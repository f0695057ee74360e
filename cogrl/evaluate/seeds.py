"""Reports of several seeds as one: means over seeds, intervals over (speaker, sentence) cells, and each seed's own."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cogrl.data.text_file import utf8_lines
from cogrl.evaluate.emotion import EVALUATED_FORMATS
from cogrl.evaluate.stats import Interval, bootstrap_mean, bootstrap_ratio

Record = Mapping[str, Any]
"""A line of a report's `answers.jsonl`."""
SeedFigure = dict[str, Any]
"""`{mean, low, high, seeds}`: the mean over seeds, its 95 % interval, and the figure of each seed."""


def _by_format(format: str) -> dict[str, Callable[[Record], float]]:
    return {
        f"reply_{format}": lambda r: float(r["replied"][format] == r["emotion"]),
        f"reward_{format}": lambda r: float(r["reward"][format]),
        f"empathy_{format}": lambda r: 1 + 3 * float(r["empathy"][format]),
        f"tokens_{format}": lambda r: float(r["tokens"][format]),
    }


VALUES: dict[str, Callable[[Record], float]] = {"label": lambda r: float(r["perceived"] == r["emotion"])}
for _format in EVALUATED_FORMATS:
    VALUES |= _by_format(_format)
"""What one answer is worth. Label: the emotiin eips names; reply: the one that the reply fits; empathy: 1 to 4."""


@dataclass(frozen=True)
class Answered:
    """One policy of several seeds on the same clips: `records[s][i]` is seed `s` on clip `i`."""

    records: Sequence[Sequence[Record]]

    @property
    def cells(self) -> list[str]:
        return [record["cell"] for record in self.records[0]]

    def values(self, name: str) -> Float[np.ndarray, "seeds clips"]:
        """`name` is one of `VALUES`."""
        return np.array([[VALUES[name](record) for record in seed] for seed in self.records])

    def figure(self, name: str) -> SeedFigure:
        return over_seeds(self.values(name), self.cells)

    def recalled(self, label: str = "emotion", predicted: str = "perceived") -> Float[np.ndarray, "seeds clips"]:
        """What every answer is worth so that the mean over clips is the mean recall of the labels (UA).

        `label` and `predicted` are keys of the records.
        """
        seen = Counter(record[label] for record in self.records[0])
        share = {name: len(self.cells) / (len(seen) * n) for name, n in seen.items()}
        return np.array([[(r[predicted] == r[label]) * share[r[label]] for r in seed] for seed in self.records])

    def part(self, name: str) -> "Answered":
        """Only the clips of one part, such as `conflict`."""
        return Answered([[record for record in seed if record["part"] == name] for seed in self.records])

    def under(self, control: str) -> "Answered":
        """The same clips as the policy answered them in a control."""
        return Answered([[{**record, **record["in_control"][control]} for record in seed] for seed in self.records])

    @property
    def labels_given(self) -> float:
        """The share of clips that got any label at all."""
        return float(np.mean([record["perceived"] is not None for seed in self.records for record in seed]))


def read_seeds(files: Sequence[Path]) -> dict[str, Answered]:
    """By policy: what the `answers.jsonl` of each seed say.

    Raises ValueError when two of them are not about the same policies and clips in the same order.
    """
    seeds: list[dict[str, list[Record]]] = []
    for file in files:
        found: dict[str, list[Record]] = {}
        for _, line in utf8_lines(file):
            record = json.loads(line)
            found.setdefault(record["policy"], []).append(record)
        seeds.append(found)
    about = [{name: [r["id"] for r in records] for name, records in found.items()} for found in seeds]
    for file, ids in zip(files, about, strict=True):
        if ids != about[0]:
            raise ValueError(f"{files[0]} and {file} are not about the same policies and clips; run the seeds anew")
    return {name: Answered([found[name] for found in seeds]) for name in seeds[0]}


def over_seeds(values: Float[np.ndarray, "seeds clips"], cells: Sequence[str]) -> SeedFigure:
    """Mean over seeds and clips; the interval draws cells of the seeds' mean, so it holds for these seeds only."""
    return _figure(bootstrap_mean(values.mean(0), cells), values.mean(1))


def ratio_over_seeds(
    over: Float[np.ndarray, "seeds clips"], under: Float[np.ndarray, "seeds clips"], cells: Sequence[str]
) -> SeedFigure:
    """Mean of `over` by mean of `under`, both over seeds and clips; of a seed without any `under` NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return _figure(bootstrap_ratio(over.mean(0), under.mean(0), cells), over.mean(1) / under.mean(1))


def _figure(interval: Interval, seeds: Float[np.ndarray, " seeds"]) -> SeedFigure:
    return vars(interval) | {"seeds": seeds.round(4).tolist()}
