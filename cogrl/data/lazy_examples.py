"""Sequences of examples that hold none of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import overload

from cogrl.data.manifest_file import ManifestFile
from cogrl.types import Example


class LazyExamples(Sequence[Example]):
    """The examples of a manifest whose lines were checked, each parsed when it is asked for: about 20 microseconds."""

    def __init__(self, file: ManifestFile) -> None:
        self.file = file

    def __len__(self) -> int:
        return len(self.file)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self.file.known(place)

    def __iter__(self) -> Iterator[Example]:
        return map(self.file.known, range(len(self)))


class LastTurns(Sequence[Example]):
    """Examples without their earlier turns."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        found = self.examples[place]
        return [replace(one, turns=()) for one in found] if isinstance(place, slice) else replace(found, turns=())
