"""A row group under construction: where it is in its month, and its random numbers."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from loader.calendar import format_month
from loader.sample.layouts import Layout


class RowGroup:
    """Some rows of a month.

    Every draw has a name, and a seed made of that name: a new column leaves the others' values
    alone, and a row group does not depend on those before it. Weights and shares that aren't given
    are the layout's fact of the draw's name.
    """

    def __init__(self, layout: Layout, seed: int, month_rows: int, numbers: range) -> None:
        """Prepare the draws.

        Args:
            month_rows: number of rows in the file.
            numbers: numbers of the row group's rows, counted from the start of the file.
        """
        self.layout = layout
        self.month = layout.month
        self.facts = layout.facts
        self.month_rows = month_rows
        self.rows = len(numbers)
        self.numbers = pa.array(numbers, pa.int64())
        self.nulls = pa.nulls(self.rows, pa.int64())
        self._label = f"{layout.dataset} {format_month(layout.month)} {seed} {numbers.start}"

    def uniform(self, name: str) -> pa.Array:
        """Draw a number of [0, 1) for each row."""
        digest = hashlib.sha256(f"{self._label} {name}".encode()).digest()
        return pc.random(self.rows, initializer=int.from_bytes(digest[:7], "big"))

    def below(self, name: str, limit: int) -> pa.Array:
        """Draw an integer of [0, limit) for each row."""
        return whole(self.uniform(name) * float(limit))

    def pick(self, name: str, weights: Mapping[Any, int]) -> pa.Array:
        """Draw one of the values for each row, as often as its weight says."""
        values = [value for value, weight in weights.items() for _ in range(weight)]
        return pa.array(values).take(self.below(name, len(values)))

    def pick_pairs(self, name: str) -> tuple[pa.Array, pa.Array]:
        """Draw pairs, which the fact has by their first halves; return firsts and seconds."""
        pairs = {
            (first, second): weight
            for first, seconds in self.facts[name].items()
            for second, weight in seconds.items()
        }
        drawn = self.pick(name, dict(enumerate(pairs.values())))
        firsts, seconds = (pa.array(half).take(drawn) for half in zip(*pairs, strict=True))
        return firsts, seconds

    def exponential(self, name: str, mean: float) -> pa.Array:
        """Draw a number from 0 on for each row, the higher the rarer."""
        return -pc.ln(-self.uniform(name) + 1.0) * mean

    def chance(self, name: str, share: float | None = None) -> pa.Array:
        """Draw a boolean for each row, true for this share of the rows."""
        return pc.less(self.uniform(name), self.facts[name] if share is None else share)

    def every(self, name: str) -> pa.Array:
        """Return a boolean for each row, true for the row numbers first, first + step, ..."""
        first, step = self.facts[name]
        return pc.equal(remainder(self.numbers, step), first)


def remainder(numbers: pa.Array, divisor: int) -> pa.Array:
    """Return what is left of numbers after a division."""
    return numbers - numbers / divisor * divisor


def whole(numbers: pa.Array) -> pa.Array:
    """Round doubles down to integers."""
    return pc.floor(numbers).cast(pa.int64())


def blanked(column: pa.Array, where: pa.Array) -> pa.Array:
    """Replace values by NULL."""
    return pc.if_else(where, pa.scalar(None, column.type), column)
