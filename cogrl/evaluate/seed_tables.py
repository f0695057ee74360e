"""The columns of a table over seeds: which figures of a policy are shown, under which title, in which form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cogrl.evaluate.seeds import Answered, SeedFigure
from cogrl.evaluate.tables import CONTROL_NAMES, number, percent


@dataclass(frozen=True)
class Column:
    """A figure by its name in `VALUES`; `conflict`: only on clips whose words contradict the voice. No digits: %."""

    title: str
    value: str
    digits: int | None = None
    conflict: bool = False

    def shown(self, figure: SeedFigure | None) -> str:
        """`57.3 [53.1, 61.4]`"""
        if figure is None:
            return "no label given"
        return percent(figure) if self.digits is None else number(figure, self.digits)

    def each(self, figure: SeedFigure) -> str:
        """Seed by seed."""
        return ", ".join(self.shown({"mean": value, "low": None, "high": None}) for value in figure["seeds"])


COLUMNS = {
    "label": Column("label A, %", "label"),
    "reply_A": Column("reply A, %", "reply_A"),
    "reply_B": Column("reply B, %", "reply_B"),
    "conflict": Column("conflict: label A, %", "label", conflict=True),
    "conflict_reply_B": Column("conflict: reply B, %", "reply_B", conflict=True),
    "reward_A": Column("reward A", "reward_A", 3),
    "reward_B": Column("reward B", "reward_B", 3),
    "empathy_A": Column("empathy A, 1-4", "empathy_A", 2),
    "empathy_B": Column("empathy B, 1-4", "empathy_B", 2),
    "tokens_A": Column("tokens A", "tokens_A", 1),
    "tokens_B": Column("tokens B", "tokens_B", 1),
}


def figures(answered: Answered, polar: Answered) -> dict[str, SeedFigure | None]:
    """Every column of one policy; `polar` are its answers to polar words. Of labels None where it named none at all."""
    conflict = polar.part("conflict")
    found: dict[str, SeedFigure | None] = {}
    for name, column in COLUMNS.items():
        clips = conflict if column.conflict else answered
        found[name] = None if column.value == "label" and not clips.labels_given else clips.figure(column.value)
    return found


def by_hearing(answered: Answered, polar: Answered) -> dict[str, dict[str, SeedFigure | None]]:
    """The columns for the `voice` and for each control."""
    found = {"voice": figures(answered, polar)}
    return found | {name: figures(answered.under(name), polar.under(name)) for name in CONTROL_NAMES}


def stage_rows(stage: str, found: Mapping[str, Mapping[str, SeedFigure | None]]) -> list[list[str]]:
    """A row for each hearing of `by_hearing`."""
    hears = {"voice": "the voice"} | CONTROL_NAMES
    return [
        [stage, hears[name], *(column.shown(row[key]) for key, column in COLUMNS.items())]
        for name, row in found.items()
    ]


def titles(columns: Sequence[str] = tuple(COLUMNS)) -> list[str]:
    return [COLUMNS[name].title for name in columns]
