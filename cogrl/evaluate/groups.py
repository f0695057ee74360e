"""Same words, same speaker, different emotions: does the answer follow the voice, and how far do replies differ?

A cell is all clips of one sentence by one speaker (a LIME group). Whatever differs between the answers to its clips
comes from the voice, not from the words. (arXiv:2606.06940: one text, many emotions)
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from cogrl.types import Emotion, Example
from cogrl.words import units

Pair = tuple[int, int]


def cell(example: Example) -> str:
    """What every bootstrap of an evaluation resamples, since its answers are not independent: `speaker/sentence`.

    A line without both is of the cell of its audio file, as are other questions about the same file.
    """
    known = example.speaker and example.text_group
    return f"{example.speaker}/{example.text_group}" if known else str(example.audio)


def contrasts(examples: Sequence[Example]) -> list[Pair]:
    """The pairs of clips that share words and speaker and differ in emotion. Empty where no cell has two emotions."""
    members: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        members.setdefault(cell(example), []).append(i)
    return [
        (i, j)
        for rows in members.values()
        for i, j in combinations(rows, 2)
        if examples[i].emotion != examples[j].emotion
    ]


def follow_and_stay(
    examples: Sequence[Example], perceived: Sequence[Emotion | None], pairs: Sequence[Pair]
) -> tuple[np.ndarray, np.ndarray]:
    """For each pair, 1.0 where both answers name their own voice's emotion, and 1.0 where both name one and the same.

    The semantic-dominance gap is the mean of `stay - follow`: +1 when the words alone decide (any text-only model), -1
    when the voice alone does. A pair that does neither (a label is wrong in a new way, or missing) counts 0 in both.
    """
    right = [label == example.emotion for label, example in zip(perceived, examples, strict=True)]
    follow = [float(right[i] and right[j]) for i, j in pairs]
    stay = [float(perceived[i] is not None and perceived[i] == perceived[j]) for i, j in pairs]
    return np.array(follow), np.array(stay)


def distance(a: str, b: str) -> float:
    """How far two replies differ, in [0, 1]: 1 - Dice overlap of their words (Chinese: characters), case ignored.

    0 for the same words in any order and for two empty replies, 1 for no word in common.
    """
    first, second = _units(a), _units(b)
    size = first.total() + second.total()
    return 1 - 2 * (first & second).total() / size if size else 0.0


def response_difference(
    examples: Sequence[Example], samples: Sequence[Sequence[str]], pairs: Sequence[Pair]
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean `distance` of sampled replies in each cell: between clips of different emotions, and within single clips.

    `samples[i]` are the replies to clip `i`, two or more draws of one distribution. Where the voice does not matter the
    two means are equal, whatever the temperature; `between - within` is what the emotion changed. Cells without a pair
    are left out. Raises ValueError for fewer than two draws.
    """
    if any(len(replies) < 2 for replies in samples):
        raise ValueError("the response difference needs two or more sampled replies a clip")
    between: dict[str, list[float]] = {}
    for i, j in pairs:
        crossed = [distance(a, b) for a in samples[i] for b in samples[j]]
        between.setdefault(cell(examples[i]), []).append(float(np.mean(crossed)))
    within: dict[str, list[float]] = {}
    for example, replies in zip(examples, samples, strict=True):
        same = [distance(a, b) for a, b in combinations(replies, 2)]
        within.setdefault(cell(example), []).append(float(np.mean(same)))
    means = {name: float(np.mean(values)) for name, values in between.items()}
    return means, {name: float(np.mean(within[name])) for name in between}


@lru_cache(maxsize=50_000)
def _units(text: str) -> Counter[str]:
    return Counter(units(text))
