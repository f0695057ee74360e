"""The official list of a benchmark, joined with the questions of a manifest by id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogrl.data.corpora.benchmark import Item, checked_item, is_array, rows
from cogrl.data.errors import raise_all
from cogrl.data.markup import escape_markup
from cogrl.evaluate.choice.benchmarks import BENCHMARKS, Benchmark
from cogrl.types import Example


@dataclass(frozen=True)
class OfficialList:
    """The rows of an official file by id, those that can be asked, in its order."""

    benchmark: Benchmark
    path: Path
    records: Mapping[str, Mapping[str, Any]]
    items: Mapping[str, Item]
    as_lines: bool

    def check(self, examples: Sequence[Example]) -> None:
        """Raises ValueError, `file:line (id)`, for questions that are not those of this list, word for word."""
        raise_all([f"{e.where} ({e.id}): {reason}" for e in examples if (reason := self._mismatch(e))])

    def _mismatch(self, example: Example) -> str | None:
        item = self.items.get(example.id)
        if item is None:
            return f"no row of {self.path} that can be asked has this id; give the list that the manifest was built of"
        asked = example.question, example.choices, example.answer
        choices = tuple(escape_markup(choice) for choice in item.choices)
        listed = escape_markup(item.question), choices, item.answer and escape_markup(item.answer)
        rebuild = f"build the manifest again of it: cogrl build {self.benchmark.name.lower()}"
        return None if asked == listed else f"is another question in {self.path}; {rebuild}"


def read_official(text: str) -> OfficialList:
    """The list that `NAME=FILE` names. Raises ValueError for an unknown name or a file without any row to be asked."""
    name, _, file = text.partition("=")
    if name.lower() not in BENCHMARKS or not file:
        raise ValueError(f"--benchmark {text}: give NAME=FILE, the name one of {', '.join(BENCHMARKS)}")
    benchmark, path = BENCHMARKS[name.lower()], Path(file)
    if not path.is_file():
        raise ValueError(f"--benchmark {text}: {path} is no file; give the official list of {benchmark.name}")
    refused: list[str] = []
    records, items = {}, {}
    for where, record in rows(path, refused.append):
        try:
            item = checked_item(record, benchmark.item)
        except ValueError as error:
            refused.append(f"{where}: {error}")
            continue
        records.setdefault(item.id, record)
        items.setdefault(item.id, item)
    if not items:
        raise ValueError(f"{path} holds no row of {benchmark.name}; the first: {(refused or ['the file is empty'])[0]}")
    as_lines = not is_array(path) if benchmark.as_lines is None else benchmark.as_lines
    return OfficialList(benchmark, path, records, items, as_lines)
