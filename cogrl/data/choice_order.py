"""The order of the choices of a question: drawn anew, so that no letter can be learnt instead of an answer."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from cogrl.data.errors import raise_all
from cogrl.types import Example

_LETTER = re.compile(r"[(\[]?[A-Z][)\]]?[.:、]?(\s.*)?", re.S)
_TAGGED = re.compile(r"<answer>([^<]*)</answer>")


def shuffled_choices(example: Example, generator: random.Random) -> Example:
    """The example with its choices in an order that `generator` draws; the answer is a text and stays right."""
    choices = list(example.choices)
    generator.shuffle(choices)
    return replace(example, choices=tuple(choices))


def choices_of_epoch(example: Example, seed: int, epoch: int) -> Example:
    """`shuffled_choices` in the order that belongs to (seed, epoch, id), on every machine."""
    return shuffled_choices(example, random.Random(f"{seed}/{epoch}/{example.id}"))


def refuse_lettered_targets(examples: Sequence[Example]) -> None:
    """Raises ValueError, `file:line (id)`, for lines with choices whose targets name a letter: it would go wrong.

    A target is the text of the answer, or holds it in `<answer>` tags.
    """
    wrong = [(example, name) for example in examples if example.choices for name in lettered_targets(example)]
    advice = "which another order of the choices makes wrong; write the text of the answer, or leave the order as it is"
    raise_all([f"{e.where} ({e.id}): targets.{name} answers with a letter, {advice}" for e, name in wrong])


def lettered_targets(example: Example) -> list[str]:
    """The names of the targets whose answer begins with a letter of a choice and is not the text of one."""
    found = []
    for name, target in example.targets.items():
        tagged = _TAGGED.search(target)
        said = (tagged[1] if tagged else target.rpartition("</think>")[2]).strip()
        if said not in example.choices and _LETTER.fullmatch(said):
            found.append(name)
    return found
