"""No row that shares its key is missed, whatever its values; and hardly any other is named."""

import datetime as dt
import math
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.datasets import Column, Dataset, Spelling, get_dataset
from loader.landing import conform, repeated_keys
from loader.landing.conform import Conformer
from loader.landing.repeated_keys import RepeatedKeys
from tests.conftest import publish
from tests.exact import KEY_COLUMNS, expected, key_texts

MONTH = dt.date(2019, 1, 1)
TABLE = get_dataset("yellow")
SCHEMA = pa.schema([(column.name, column.arrow_type) for column in TABLE.file_columns])

_TIMES = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
_NEAR = st.integers(-3, 3).map(lambda micros: dt.datetime(2019, 1, 1, microsecond=micros % 10**6))
_NUMBERS = st.floats() | st.sampled_from([-0.0, 0.005, 2.675, 1e15, -1e15, math.nan, math.inf])
_VALUES = {
    pa.int16(): st.integers(-1, 1) | st.sampled_from([-(2**15), 2**15 - 1]),
    pa.timestamp("us"): _NEAR | _TIMES,
    pa.float64(): _NUMBERS | st.integers(-30, 30).map(lambda thousandths: thousandths / 1000),
}
_ROWS = st.fixed_dictionaries(
    {name: st.none() | _VALUES[SCHEMA.field(name).type] for name in KEY_COLUMNS["yellow"]}
)


def found(*batches: pa.RecordBatch) -> list[int] | None:
    keys = RepeatedKeys(TABLE)
    for batch in batches:
        keys.add(batch)
    return keys.rows()


def sharing(rows: pa.Table) -> list[int]:
    """Work out by the keys' texts which rows share one, as documented."""
    texts = list(key_texts(rows, "yellow"))
    count = Counter(texts)
    return [place for place, text in enumerate(texts, 1) if count[text] > 1]


@settings(max_examples=300, deadline=None)
@given(st.lists(_ROWS, max_size=8), st.data())
def test_rows_that_share_a_key_are_all_found(rows, data):
    # Some rows again, with one value changed: it may be the same in the key all the same.
    for row in rows[:4]:
        name = data.draw(st.sampled_from(KEY_COLUMNS["yellow"]))
        kind = SCHEMA.field(name).type
        rows.append(row | {name: data.draw(st.just(row[name]) | _VALUES[kind])})
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    split = data.draw(st.integers(0, len(rows)))
    assert set(sharing(pa.Table.from_batches([batch]))) <= set(
        found(batch.slice(0, split), batch.slice(split))
    )


def test_in_a_month_no_other_row_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(conform, "BATCH_ROWS", 50_000)
    path = publish(tmp_path, "yellow", "2019-01", 2 * 50_000 + 1)
    wanted = sharing(expected(path, "yellow"))
    assert len(wanted) == 10
    assert found(*Conformer("yellow", MONTH, path).batches()) == wanted


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=2), max_size=8), st.data())
def test_rows_that_share_a_text_are_all_found(texts, data):
    column = Column("base", "text", (Spelling("base", MONTH, None),), key=1)
    keys = RepeatedKeys(Dataset("made_up", "made_up_tripdata", MONTH, (column,)))
    split = data.draw(st.integers(0, len(texts)))
    for part in (texts[:split], texts[split:]):
        keys.add(pa.record_batch({"base": pa.array(part, pa.string())}))
    wanted = {place for place, text in enumerate(texts, 1) if texts.count(text) > 1}
    assert wanted <= set(keys.rows())


def test_a_file_without_rows_has_none():
    assert found() == []


@pytest.mark.parametrize(("rows", "hint"), [(4, [1, 2, 3, 4]), (5, None)])
def test_too_many_are_no_hint(monkeypatch, rows, hint):
    monkeypatch.setattr(repeated_keys, "MAX_SHARED_ROWS", 4)
    batch = pa.RecordBatch.from_pylist([dict.fromkeys(SCHEMA.names)] * rows, SCHEMA)
    assert found(batch) == hint
