"""A shuffled order that is computed place by place: it takes no memory, however many items it orders."""

import hashlib
import math

_WORD = 2**64 - 1
_LEAST_DOUBLE_ROUNDS = 4
_BITS = 20
"""What two items can tell of each other's places falls to 2 ** -20."""


class Permutation:
    """An order of `range(size)`, fixed by `key`: `permutation[i]` is what stands at place i, found from i alone.

    An alternating Feistel network on a table of a x b cells, a little more than `size`: in each round the row is moved
    by a hash of the column, or the column by a hash of the row, so that no two cells meet. A cell beyond `size` is
    moved on until one within it is reached. Integers only: the same on every machine. (Black and Rogaway, Ciphers with
    Arbitrary Finite Domains, CT-RSA 2002.)

    Raises ValueError for a negative size, IndexError for a place outside of `range(size)`.
    """

    def __init__(self, size: int, key: str) -> None:
        if size < 0:
            raise ValueError(f"a permutation of {size} items; it needs none or more")
        self.size = size
        self.rows = max(1, math.isqrt(size - 1) + 1) if size else 1
        self.columns = max(1, -(-size // self.rows))
        words = hashlib.shake_256(key.encode()).digest(8 * _rounds(self.columns))
        self.round_keys = [int.from_bytes(words[i : i + 8], "little") for i in range(0, len(words), 8)]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self.size:
            raise IndexError(f"place {place} of {self.size}")
        found = self._moved(place)
        while found >= self.size:
            found = self._moved(found)
        return found

    def _moved(self, cell: int) -> int:
        row, column = divmod(cell, self.columns)
        for number, round_key in enumerate(self.round_keys):
            if number % 2:
                column = (column + _mixed(row ^ round_key)) % self.columns
            else:
                row = (row + _mixed(column ^ round_key)) % self.rows
        return row * self.columns + column


def _rounds(columns: int) -> int:
    """Items of one column keep their distance in a round of rows, and part in one of columns but for 1 in `columns`."""
    bits = max(1, columns.bit_length() - 1)
    return 2 * max(_LEAST_DOUBLE_ROUNDS, -(-_BITS // bits))


def _mixed(word: int) -> int:
    """A hash of 64 bits to 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
