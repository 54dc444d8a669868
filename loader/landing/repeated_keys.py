"""Rows of a file that may share their key, found while the file is read.

A few rows of a month share all key columns, and the merge numbers them. To find them, the warehouse
would sort the ids of the whole month, which takes ten times as long. The list is a hint: false
positives are harmless, and a missing row fails the unique index.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loader.datasets import Column, Dataset

#: Beyond this there is no list, and the merge numbers all rows.
MAX_SHARED_ROWS = 100_000
#: The hashes are sorted in slices, so that no second copy of them all is in memory.
_SLICE_BITS = 3
_ODD = np.uint64(0x9E37_79B9_7F4A_7C15)


class RepeatedKeys:
    """Collects 8 bytes a row: a hash of its key columns."""

    def __init__(self, dataset: Dataset) -> None:
        """Begin a file."""
        keys = sorted(
            (column for column in dataset.file_columns if column.key),
            key=lambda column: column.key or 0,
        )
        #: Columns that share a place: where the first is not NULL, the others don't count.
        self._places = [list(of) for _, of in groupby(keys, lambda column: column.key)]
        self._hashes = [np.empty(0, np.uint64)]  # a file may have no rows

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the next rows of the file."""
        hashes = np.zeros(batch.num_rows, np.uint64)
        for first, *others in self._places:
            number = _key_number(first, batch[first.name]).view(np.uint64)
            if others and batch[first.name].null_count:
                is_missing = batch[first.name].is_null().to_numpy(zero_copy_only=False)
                for power, one in enumerate(others, 2):
                    if batch[one.name].null_count < batch.num_rows:  # NULL adds nothing
                        of_one = _key_number(one, batch[one.name]) * is_missing
                        factor = np.uint64(pow(int(_ODD), power, 2**64))
                        number = number + of_one.view(np.uint64) * factor
            hashes ^= number
            hashes *= _ODD
            hashes ^= hashes >> np.uint64(29)
        self._hashes.append(hashes)

    def rows(self) -> list[int] | None:
        """Find the rows whose keys may be shared, for rows whose keys differ may share a hash.

        Returns:
            Their positions in the file, from 1, in order; None when they are too many for a hint.
        """
        shared = pa.array(np.concatenate(list(self._repeated_hashes())))
        rows: list[int] = []
        first_row = 1
        for hashes in self._hashes:
            found = pc.indices_nonzero(pc.is_in(pa.array(hashes), value_set=shared))
            rows += pc.add(found.cast(pa.int64()), first_row).to_pylist()
            if len(rows) > MAX_SHARED_ROWS:
                return None
            first_row += len(hashes)
        return rows

    def _repeated_hashes(self) -> Iterator[np.ndarray]:
        places = np.uint64(64 - _SLICE_BITS)
        for number in range(1 << _SLICE_BITS):
            some = np.concatenate([hashes[hashes >> places == number] for hashes in self._hashes])
            some.sort()
            yield np.unique(some[1:][some[1:] == some[:-1]])


def _key_number(column: Column, values: pa.Array) -> np.ndarray:
    """Turn key values into integers: equal wherever their texts are (macros/identity)."""
    if pa.types.is_floating(column.arrow_type):
        numbers = values.to_numpy(zero_copy_only=False)
        # NaN, infinite, huge and missing values count as equal: a hint may name too many rows.
        numbers = np.where(np.abs(numbers) < 10.0 ** (17 - column.decimals), numbers, 0)
        return np.floor(numbers * 10**column.decimals + 0.5).astype(np.int64)
    if pa.types.is_string(column.arrow_type):
        codes = pc.fill_null(values, "~").dictionary_encode()
        hashes = [hash(text) for text in codes.dictionary.to_pylist()]
        return np.array(hashes, np.int64)[codes.indices.to_numpy()]
    if pa.types.is_timestamp(column.arrow_type):
        return _filled(values.view(pa.int64())) // 1_000_000
    return _filled(values).astype(np.int64)


def _filled(values: pa.Array) -> np.ndarray:
    return pc.fill_null(values, 0).to_numpy()
