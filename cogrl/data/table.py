"""Tables with a head: CSV files of corpora, each row known by `file:line`."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cogrl.data.text_file import decoded


def refused(message: str) -> None:
    """What `read_table` does with a bad row by default: raise."""
    raise ValueError(message)


def read_table(
    path: Path, columns: Sequence[str], refuse: Callable[[str], None] = refused
) -> Iterator[tuple[str, dict[str, str]]]:
    """(`file:line` of its beginning, cells by name) of every row of a CSV file; UTF-8, UTF-16 with a mark or cp1252.

    Line ends inside quotes belong to the cell; blank lines are passed over. A row with more or fewer cells than the
    head, a NUL character, or a quote that is never closed go to `refuse`, with `file:line` and reason; what it does not
    raise for is left out. Raises ValueError for a head without the `columns`, or with one of them twice.
    """
    rows = _rows(path, refuse)
    where, head = next(rows, (f"{path}:1", []))
    absent = [name for name in columns if name not in head]
    if absent:
        raise ValueError(
            f"{path}: has no column {', '.join(absent)}; expected {', '.join(columns)}, found "
            f"{', '.join(head) or 'an empty file'}"
        )
    twice = [name for name in columns if head.count(name) > 1]
    if twice:
        raise ValueError(f"{where}: has the column {twice[0]} twice; leave one")
    for where, cells in rows:
        if len(cells) == len(head):
            yield where, dict(zip(head, cells, strict=True))
        else:
            than = "fewer" if len(cells) < len(head) else "more"
            refuse(
                f"{where}: has {than} columns than the head of the file ({len(cells)}, not {len(head)}): the row is "
                "cut, or a comma or quote stands alone; download the file again or mend the row"
            )


def _rows(path: Path, refuse: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    """(`file:line`, cells); a row that is no CSV is refused, and ends the file where the row's end can not be found."""
    text = decoded(path.read_bytes(), "cp1252")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            refuse(f"{where}: not CSV from here on: {error} (a quote that is never closed, or a file that was cut?)")
            return
        if any("\0" in cell for cell in cells):
            refuse(f"{where}: holds a NUL character; download the file again")
        elif cells:
            yield where, cells
