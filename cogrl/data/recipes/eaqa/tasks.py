"""Questions about a clip whose answer lies in a short part of it, or in two.

A thought names what is sought right before the part that it cites, and what it finds there right behind.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from cogrl.data.recipes.balanced import placed
from cogrl.data.recipes.eaqa.item import Asked, Item
from cogrl.words import words

PLACES = ("the first", "the second")
MOST_LISTED = 6
"""Things that `when` and `cite` ask for."""
Order = Sequence[Item]
"""The items of a clip, from its beginning."""


class Impossible(ValueError):
    """A question that can not be asked about the items in this order."""


class Questions:
    """The questions of one clip after the other, balanced: no option is right more often than another, at no letter.

    `counts` are the options of `count`, `counted` what it counts, and `pitched` what `pitch` compares, the lower first.
    With `texts` what is said is one of four options; without it is an open question.
    """

    def __init__(
        self,
        rng: random.Random,
        counted: str = "",
        counts: Sequence[str] = (),
        pitched: Sequence[str] = (),
        texts: Sequence[str] = (),
    ) -> None:
        self.rng, self.counted, self.counts, self.pitched, self.texts = rng, counted, counts, pitched, texts
        self.right: Counter[tuple] = Counter()

    def ask(self, task: str, order: Order, earlier: Sequence[Asked]) -> Asked:
        """A question of this task that is not in `earlier`. Raises Impossible where the order has none."""
        known = {asked.question for asked in earlier}
        found = [asked for asked in TASKS[task](self, order) if asked.question not in known and self._is_due(asked)]
        if not found:
            raise Impossible(f"the clip has no other question of task {task}")
        return self.rng.choice(found)

    def placed(self, asked: Asked) -> Asked:
        """The question with its answer at the letter where it has been least often, the others in any order.

        It is counted.
        """
        if not asked.choices:
            return asked
        right = _key(asked, asked.answer)
        letter = min(
            self.rng.sample(range(len(asked.choices)), len(asked.choices)),
            key=lambda letter: (self.right[*right, letter], self.right[asked.task, letter]),
        )
        self.right.update([right, (*right, letter), (asked.task, letter)])
        return replace(asked, choices=placed(asked.choices, asked.answer, letter, self.rng))

    def options(self, order: Order, said: Item) -> tuple[str, ...]:
        """What `said` says, what two others in the clip say, and other texts; none where the question is open.

        No two of them have the same words. Raises Impossible where there are fewer than four texts.
        """
        if not self.texts:
            return ()
        by_words: dict[tuple[str, ...], str] = {}
        for text in (said.text, *(item.text for item in order if item.text)):
            by_words.setdefault(tuple(words(text)), text)
        right, *there = by_words.values()
        others = {tuple(words(text)): text for text in self.texts if tuple(words(text)) not in by_words}
        wanted = 3 - len(there[:2])
        if len(others) < wanted:
            raise Impossible(f"{len(self.texts)} texts are too few for four options")
        return (right, *there[:2], *self.rng.sample([*others.values()], wanted))

    def _is_due(self, asked: Asked) -> bool:
        """Whether no other option has been right less often."""
        times = [self.right[_key(asked, choice)] for choice in asked.choices]
        return not times or self.right[_key(asked, asked.answer)] == min(times)


def _key(asked: Asked, answer: str) -> tuple:
    return asked.task, tuple(sorted(asked.choices)), answer


def said(questions: Questions, order: Order) -> list[Asked]:
    """What the only voice says."""
    return [Asked("said", "What is said?", item.text, (n,)) for n, item in _voices(order)]


def say(questions: Questions, order: Order) -> list[Asked]:
    """What a voice says."""
    return [
        Asked(
            "say",
            f"What does {item.called} say?",
            item.text,
            (n,),
            questions.options(order, item),
            (f"hear {item.cue}", n, item.text),
        )
        for n, item in _voices(order)
    ]


def when(questions: Questions, order: Order) -> list[Asked]:
    """What is heard when, in an order that is drawn, so that each time has to be looked up by its name."""
    return [_listed(questions, order, "when", "What is heard when?")]


def cite(questions: Questions, order: Order) -> list[Asked]:
    """The same, as thoughts cite it."""
    return [_listed(questions, order, "cite", "Cite what is heard.")]


def after(questions: Questions, order: Order) -> list[Asked]:
    """What is said right after a sound: who speaks there, then what is said."""
    return [
        Asked(
            "after",
            f"What is said right after {sound.called}?",
            item.text,
            (n + 1,),
            questions.options(order, item),
            (f"after {sound.cue} hear {item.cue}", n + 1, item.text),
        )
        for n, (sound, item) in enumerate(pairwise(order))
        if item.text and not sound.text
    ]


def two(questions: Questions, order: Order) -> list[Asked]:
    """What a voice and the one after it say."""
    return [
        Asked(
            "two",
            f"What do {item.called} and the one after it say?",
            f"{item.text}, {other.text}",
            (n, m),
            thinking=(f"hear {item.cue}", n, f"{item.text}, then {other.cue}", m, other.text),
        )
        for (n, item), (m, other) in pairwise(_voices(order))
    ]


def count(questions: Questions, order: Order) -> list[Asked]:
    """How many blows a knock has."""
    return [
        Asked(
            "count",
            f"How many {item.name}s are there?",
            str(item.source),
            (n,),
            tuple(questions.counts),
            (f"hear {item.cue}", n, str(item.source)),
        )
        for n, item in enumerate(order)
        if item.name == questions.counted
    ]


def order(questions: Questions, order: Order) -> list[Asked]:
    """Which of two sounds comes first; both orders of naming them."""
    sounds = [(n, item) for n, item in enumerate(order) if not item.text]
    return [
        Asked(
            "order",
            f"Which comes first, {one.called} or {other.called}?",
            order[min(n, m)].name,
            (n, m),
            (one.name, other.name),
            (f"hear {one.cue}", n, f"{one.name}, hear {other.cue}", m, f"{other.name}, first {order[min(n, m)].name}"),
        )
        for n, one in sounds
        for m, other in sounds
        if n != m
    ]


def pitch(questions: Questions, order: Order) -> list[Asked]:
    """Which of two beeps is higher."""
    beeps = [n for n, item in enumerate(order) if item.name in questions.pitched]
    if len(beeps) < 2:
        return []
    levels = ["lower" if order[n].name == questions.pitched[0] else "higher" for n in beeps]
    answer = PLACES[levels.index("higher")]
    thinking = ("hear beep", beeps[0], f"{levels[0]}, hear beep", beeps[1], levels[1])
    asked = Asked("pitch", "Which of the two beeps is higher?", answer, tuple(beeps), PLACES, thinking)
    return [asked]


def _listed(questions: Questions, order: Order, task: str, question: str) -> Asked:
    places = questions.rng.sample(range(len(order)), min(len(order), MOST_LISTED))
    return Asked(task, question, "", tuple(places))


def _voices(order: Order) -> list[tuple[int, Item]]:
    return [(n, item) for n, item in enumerate(order) if item.text]


TASKS: Mapping[str, Callable[[Questions, Order], list[Asked]]] = {
    "said": said,
    "say": say,
    "when": when,
    "cite": cite,
    "after": after,
    "two": two,
    "count": count,
    "order": order,
    "pitch": pitch,
}
"""By name: every question of the kind about the items in this order."""
