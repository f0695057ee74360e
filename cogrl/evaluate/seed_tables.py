"""The columns of a table over seeds: which figures of a policy are shown, under which title, in which form."""

from collections.abc import Sequence
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

    def shown(self, figure: SeedFigure) -> str:
        """`57.3 [53.1, 61.4]`"""
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


def figures(answered: Answered, polar: Answered) -> dict[str, SeedFigure]:
    """Every column of one policy, and its labels in the controls; `polar` are its answers to polar words.

    `label_<control>` and `conflict_<control>` are None where the policy named no label at all.
    """
    conflict = polar.part("conflict")
    found = {name: (conflict if c.conflict else answered).figure(c.value) for name, c in COLUMNS.items()}
    for control in CONTROL_NAMES:
        for name, clips in (("label", answered), ("conflict", conflict)):
            heard = clips.figure(f"label_{control}")
            found[f"{name}_{control}"] = heard if clips.labels_given(control) else None
    return found


def stage_rows(name: str, found: dict[str, SeedFigure]) -> list[list[str]]:
    """What a policy does with the voice, then what it names in each control, of which only labels are measured."""
    rows = [[name, "the voice", *(column.shown(found[key]) for key, column in COLUMNS.items())]]
    for control, title in CONTROL_NAMES.items():
        cells = []
        for key, column in COLUMNS.items():
            heard = found.get(f"{key}_{control}", "")
            cells.append("no label given" if heard is None else heard and column.shown(heard))
        rows.append([name, title, *cells])
    return rows


def titles(columns: Sequence[str] = tuple(COLUMNS)) -> list[str]:
    return [COLUMNS[name].title for name in columns]
