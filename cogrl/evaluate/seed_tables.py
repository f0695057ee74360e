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
    "label": Column("label eips, %", "label"),
    "reply_eips": Column("reply eips, %", "reply_eips"),
    "reply_direct": Column("reply direct, %", "reply_direct"),
    "conflict": Column("conflict: label eips, %", "label", conflict=True),
    "conflict_reply_direct": Column("conflict: reply direct, %", "reply_direct", conflict=True),
    "reward_eips": Column("reward eips", "reward_eips", 3),
    "reward_direct": Column("reward direct", "reward_direct", 3),
    "empathy_eips": Column("empathy eips, 1-4", "empathy_eips", 2),
    "empathy_direct": Column("empathy direct, 1-4", "empathy_direct", 2),
    "tokens_eips": Column("tokens eips", "tokens_eips", 1),
    "tokens_direct": Column("tokens direct", "tokens_direct", 1),
}


def figures(answered: Answered, polar: Answered) -> dict[str, SeedFigure | None]:
    """Every column of one policy; `polar` are its answers to polar words. Of labels None where it named none at all."""
    conflict = polar.part("conflict")
    found: dict[str, SeedFigure | None] = {}
    for name, column in COLUMNS.items():
        clips = conflict if column.conflict else answered
        found[name] = None if column.value == "label" and not clips.labels_given else clips.figure(column.value)
    return found


def by_condition(answered: Answered, polar: Answered) -> dict[str, dict[str, SeedFigure | None]]:
    """The columns for the `voice` and for each control."""
    found = {"voice": figures(answered, polar)}
    return found | {name: figures(answered.under(name), polar.under(name)) for name in CONTROL_NAMES}


def stage_rows(stage: str, found: Mapping[str, Mapping[str, SeedFigure | None]]) -> list[list[str]]:
    """A row for each condition of `by_condition`."""
    hears = {"voice": "the voice"} | CONTROL_NAMES
    return [
        [stage, hears[name], *(column.shown(row[key]) for key, column in COLUMNS.items())]
        for name, row in found.items()
    ]


def titles(columns: Sequence[str] = tuple(COLUMNS)) -> list[str]:
    return [COLUMNS[name].title for name in columns]
