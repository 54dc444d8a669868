"""The contract knows every published layout; months and datasets are read in one way only."""

import csv
import datetime as dt
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loader import sample
from loader.calendar import (
    format_month,
    month_range,
    next_month,
    parse_month,
)
from loader.datasets import (
    ARROW_TYPES,
    Column,
    Dataset,
    check_supported,
    datasets,
    get_dataset,
    record_columns,
)
from loader.errors import UsageError
from loader.landing.values import CLEANERS
from loader.months.state import MARTS_VERSION
from loader.settings import PROJECT_DIR
from tests.conftest import DATA_DIR
from tests.exact import KEY_COLUMNS, TIE_BREAKERS, declared_ties

LAST = dt.date(2026, 12, 1)

FIRST_MONTH = {
    "yellow": dt.date(2009, 1, 1),
    "green": dt.date(2014, 1, 1),
    "fhv": dt.date(2015, 1, 1),
    "fhvhv": dt.date(2019, 2, 1),
}


def matched(table: Dataset, header: str, month: dt.date) -> list[Column]:
    """Return the columns that have this very spelling in this month."""
    return [
        column
        for column in table.file_columns
        if any(s.name == header and s.covers(month) for s in column.spellings)
    ]


def assert_maps(dataset: str, month: dt.date, headers: list[str]) -> None:
    table = get_dataset(dataset)
    headers = [header for header in headers if header not in table.ignored]
    columns = {header: matched(table, header, month) for header in headers}
    wrong = {header: found for header, found in columns.items() if len(found) != 1}
    assert wrong == {}, f"{dataset} {month}"
    names = [found[0].name for found in columns.values()]
    assert len(set(names)) == len(names)
    expected = {column.name for column in table.file_columns if column.expected(month)}
    assert set(names) == expected, f"{dataset} {month}"


@pytest.mark.parametrize("dataset", datasets())
def test_every_generated_month_maps_completely(dataset):
    for month in month_range(get_dataset(dataset).first_month, LAST):
        assert_maps(dataset, month, sample.schema_of(dataset, month).names)


def test_every_published_file_maps_completely():
    # Without the folder of real files there is nothing to look at: see the generated months.
    files = []
    if DATA_DIR is not None:
        with (DATA_DIR / "facts" / "tlc_file_metadata_2009-2024.csv").open() as facts:
            files = list(csv.DictReader(facts))
    checked = 0
    for file in files:
        dataset = file["file_record_type"]
        month = dt.date(int(file["file_year"]), int(file["file_month"]), 1)
        assert month >= get_dataset(dataset).first_month
        assert_maps(dataset, month, file["file_column_names"].split(","))
        checked += 1
    assert checked == 487 or not files


@pytest.mark.parametrize("dataset", datasets())
def test_what_ids_are_made_of_never_changes_and_new_columns_come_last(dataset):
    table = get_dataset(dataset)
    key = [column for column in table.file_columns if column.key]
    assert [one.name for one in sorted(key, key=lambda one: one.key)] == KEY_COLUMNS[dataset]
    assert declared_ties(dataset) == TIE_BREAKERS[dataset]
    names = {column.name for column in table.file_columns if not column.coordinates}
    assert names == {*KEY_COLUMNS[dataset], *TIE_BREAKERS[dataset]}
    assert table.first_month == FIRST_MONTH[dataset]
    added = [column.name for column in table.columns if column not in table.file_columns]
    assert added == ["_file_month", "_file_row", "_dlt_load_id"]


def test_every_column_has_a_known_type():
    for columns in (record_columns("month_files"), *(one.columns for one in datasets().values())):
        assert {column.data_type for column in columns} <= set(ARROW_TYPES)


@pytest.mark.parametrize("dataset", datasets())
def test_every_spelling_belongs_to_one_column_and_its_months_dont_overlap(dataset):
    owners: dict[str, str] = {}
    for column in get_dataset(dataset).file_columns:
        for spelling in column.spellings:
            assert owners.setdefault(spelling.name.lower(), column.name) == column.name
            assert spelling.last is None or spelling.first <= spelling.last
        for month in month_range(get_dataset(dataset).first_month, LAST):
            assert sum(spelling.covers(month) for spelling in column.spellings) <= 1


# ---- Months and datasets -------------------------------------------------------------------------

months = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 1)).map(lambda date: date.replace(day=1))


@given(months)
def test_a_month_that_is_written_is_read_again(month):
    assert parse_month(format_month(month)) == month


@given(st.text(max_size=12))
def test_a_text_is_a_month_of_seven_characters_or_refused(text):
    try:
        month = parse_month(text)
    except UsageError as error:
        assert "\n" not in str(error)
        assert "YYYY-MM" in str(error)
    else:
        assert text == f"{month.year:04}-{month.month:02}"


@pytest.mark.parametrize(
    "text",
    ["2023-13", "2023-00", "0000-01", "23-01", "2023-1", "2023-01\n", " 2023-01", "2023-01-01", ""],
)
def test_what_is_not_a_month_is_refused(text):
    with pytest.raises(UsageError, match="YYYY-MM"):
        parse_month(text)


@given(months, st.integers(0, 40))
def test_a_range_is_every_month_from_first_to_last(first, count):
    last = first
    for _ in range(count):
        if last < dt.date(9999, 12, 1):
            last = next_month(last)
    found = month_range(first, last)
    assert (found[0], found[-1]) == (first, last)
    numbers = [month.year * 12 + month.month for month in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(found)))
    assert {month.day for month in found} == {1}


@pytest.mark.parametrize("text", ["", "Green", "fhv2", "green ", "yellow,green", "green'; --"])
def test_only_datasets_are_datasets(text):
    with pytest.raises(UsageError, match=r"choose from .*green.*yellow"):
        get_dataset(text)


def test_datasets_are_told_from_their_first_month_on():
    for dataset, first in FIRST_MONTH.items():
        assert get_dataset(dataset).name == dataset
        check_supported(dataset, first)
        with pytest.raises(UsageError, match=format_month(first)):
            check_supported(dataset, (first - dt.timedelta(1)).replace(day=1))


def test_declarations_name_only_steps_of_cleaning_that_exist():
    columns = [column for dataset in datasets().values() for column in dataset.columns]
    assert any(column.clean for column in columns)
    for column in columns:
        assert set(column.clean) <= CLEANERS.keys(), column.name
        assert not column.clean or column.data_type == "text", column.name


def _overridden_columns():
    """Yield what the unit tests of dbt repeat of the declarations."""
    for path in (PROJECT_DIR / "models").rglob("*.yml"):
        for test in yaml.safe_load(path.read_text()).get("unit_tests", ()):
            macros = test.get("overrides", {}).get("macros", {})
            for dataset, columns in macros.get("contracts", {}).items():
                for column in columns:
                    yield test["name"], dataset, column
            for dataset, types in macros.get("column_types", {}).items():
                for name, data_type in types.items():
                    yield test["name"], dataset, {"name": name, "data_type": data_type}


def test_unit_tests_of_dbt_repeat_the_declarations_as_they_are():
    repeated = list(_overridden_columns())
    assert {dataset for _, dataset, _ in repeated} == set(datasets())
    for test, dataset, column in repeated:
        declared = {one.name: one for one in get_dataset(dataset).columns}[column["name"]]
        assert column["data_type"] == declared.data_type, (test, dataset, declared.name)
        if "meta" in column:
            meta = (column["meta"].get("key"), column["meta"].get("decimals", 2))
            assert meta == (declared.key, declared.decimals), (test, dataset, declared.name)


def test_the_loader_and_dbt_know_the_same_version_of_the_marts():
    macro = (PROJECT_DIR / "macros/marts/months_of_marts.sql").read_text()
    (version,) = re.findall(r"macro marts_version\(\) %}\s+{{ return\((\d+)\) }}", macro)
    assert int(version) == MARTS_VERSION
