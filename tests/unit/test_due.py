"""What a sync looks at, and what it finds due; the date is a parameter."""

import datetime as dt
import os
import sys
from dataclasses import replace

import pytest

from loader.calendar import Month, format_month
from loader.calendar import parse_month as month
from loader.errors import UsageError
from loader.months.due import RunOptions, followed, is_due, reason, window
from loader.months.state import MARTS_VERSION, MonthState, State, Step
from loader.settings import load_settings
from loader.source.published import PublishedFile
from loader.warehouse.versions import FileVersion
from tests.processes import ran

TODAY = dt.date(2024, 3, 31)
LANDED_AT = dt.datetime(2024, 2, 20, 9, 17)


def merged(*months: tuple[str, str]) -> dict[Month, MonthState]:
    """Describe a warehouse in which some months are merged."""
    keys = [Month(name, month(text)) for name, text in months]
    return {key: MonthState(key, landed=None, merged=version("a", "bytes")) for key in keys}


def looked_at(
    warehouse: dict[Month, MonthState], today: dt.date = TODAY, **options: dt.date
) -> tuple[str, str, int]:
    months = window(warehouse, "green", today, **options)
    assert months == sorted(months)
    return format_month(months[0]), format_month(months[-1]), len(months)


def test_an_empty_warehouse_is_filled_from_a_year_back():
    assert looked_at(merged()) == ("2023-03", "2024-03", 13)
    assert looked_at(merged(("yellow", "2024-01"))) == ("2023-03", "2024-03", 13)


def test_a_sync_follows_the_datasets_that_the_warehouse_has():
    warehouse = merged(("yellow", "2024-01"), ("green", "2024-01"), ("green", "2024-02"))
    assert followed(warehouse) == ["green", "yellow"]
    # A month that landed and was not merged counts, too.
    landed = {Month("fhv", month("2024-01")): a_state("a", "a", None)}
    assert followed(landed) == ["fhv"]
    assert followed(merged()) == ["fhv", "fhvhv", "green", "yellow"]


def test_the_window_opens_six_months_before_the_newest_merged_one():
    warehouse = merged(("green", "2019-05"), ("green", "2024-01"), ("yellow", "2022-01"))
    assert looked_at(warehouse) == ("2023-07", "2024-03", 9)
    assert looked_at(warehouse, dt.date(2024, 1, 1)) == ("2023-07", "2024-01", 7)


def test_the_window_may_be_given_and_starts_at_the_first_month_there_is():
    warehouse = merged(("green", "2024-01"))
    assert looked_at(warehouse, since=month("2024-02")) == ("2024-02", "2024-03", 2)
    assert looked_at(warehouse, since=month("2009-01"))[0] == "2014-01"
    assert looked_at(warehouse, since=month("2022-12"), to=month("2023-01"))[1:] == ("2023-01", 2)


@pytest.mark.parametrize("options", [{"since": month("2024-04")}, {"to": month("2023-06")}])
def test_a_window_without_a_month_is_refused(options):
    with pytest.raises(UsageError, match="no month to look at") as error:
        window(merged(("green", "2024-01")), "green", TODAY, **options)
    assert "--since" in str(error.value)


def version(etag: str | None, sha256: str, suspect: str | None = None) -> FileVersion | None:
    row = {"etag": etag, "file_bytes": 9, "sha256": sha256, "landed_at": LANDED_AT}
    row |= {"file_name": "f.parquet", "source_url": "there/f.parquet", "suspect": suspect}
    return FileVersion.of_row(row) if etag else None


def a_state(
    etag: str | None, landed: str | None, merged: str | None, suspect: str | None = None
) -> MonthState:
    """Describe a month by ETags: of the file at the source, of what landed, of what is merged."""
    file = PublishedFile("green", TODAY, "f.parquet", "url/f.parquet", 9, etag, None)
    return MonthState(
        Month("green", TODAY),
        version(landed, f"bytes of {landed}", suspect),
        version(merged, f"bytes of {merged}"),
        file if etag else None,
    )


ACCEPT = "suspect: landed, not merged until --accept"
EXPECTED = "not yet published, expected by 2024-08-08"


@pytest.mark.parametrize(
    ("state", "name", "due", "why"),
    [
        (a_state("a", None, None), State.NEW, True, "new at the source"),
        (a_state("b", "a", "a"), State.CHANGED, True, "changed at the source"),
        (a_state("c", "b", "a"), State.CHANGED, True, "changed at the source"),
        (a_state("b", "b", "a"), State.LANDED, True, "landed, not merged"),
        (a_state("a", "a", None), State.LANDED, True, "landed, not merged"),
        (a_state("b", "b", "a", "half of the rows"), State.SUSPECT, True, ACCEPT),
        (a_state("a", "a", "a"), State.MERGED, True, "its raw rows are left"),
        (a_state("a", None, "a"), State.MERGED, False, "merged"),
        # A version landed and lost its rows before it was merged.
        (a_state("b", None, "a"), State.CHANGED, True, "changed at the source"),
        (a_state(None, None, None), State.ABSENT, False, EXPECTED),
        (a_state(None, "a", "a"), State.MERGED, False, EXPECTED),
    ],
)
def test_how_a_month_stands_and_whether_it_is_due(state, name, due, why):
    assert (state.state, is_due(state, RunOptions()), reason(state)) == (name, due, why)


def with_marts(state: MonthState, marts_version: int) -> MonthState:
    return replace(state, merged=replace(state.merged, marts_version=marts_version))


def test_what_a_month_lacks_is_read_from_the_records():
    merged = a_state("a", "a", "a")
    assert merged.lacks == {Step.DROP}
    for outdated in (0, MARTS_VERSION - 1):
        assert with_marts(merged, outdated).lacks == {Step.DROP, Step.MARTS}
    done = replace(merged, landed=replace(merged.landed, raw_dropped_at=LANDED_AT))
    assert with_marts(done, MARTS_VERSION).lacks == set()
    assert done.lacks == set()  # an earlier version recorded nothing
    kept_for_ever = replace(merged, landed=replace(merged.landed, unknown_columns="new_column"))
    assert kept_for_ever.lacks == set()
    assert a_state("a", "a", None).lacks == a_state("a", "b", "a").lacks == set(Step)
    assert a_state("a", None, "a").lacks == a_state("a", None, None).lacks == set()


@pytest.mark.parametrize(
    ("options", "has_marts", "due"),
    [
        (RunOptions(), True, True),  # its raw rows are left
        (RunOptions(keep_raw=True), True, False),
        (RunOptions(keep_raw=True), False, True),
        (RunOptions(keep_raw=True, marts=False), False, False),
        (RunOptions(keep_raw=True, force=True), True, True),
    ],
)
def test_options_say_what_is_left_for_later(options, has_marts, due):
    state = with_marts(a_state("a", "a", "a"), MARTS_VERSION if has_marts else 0)
    assert is_due(state, options) is due


def test_a_month_that_was_removed_is_left_alone_and_one_whose_rows_are_gone_is_not():
    removed = replace(version("a", "bytes"), removed_at=LANDED_AT)
    state = replace(a_state("b", None, None), removed=removed)
    assert (state.state, is_due(state, RunOptions(force=True))) == (State.REMOVED, False)
    command = "nyc-tlc run --dataset green --month 2024-03"
    assert reason(state) == f"removed on 2024-02-20; to have it back: {command}"
    state = replace(a_state("a", None, None), gone=version("a", "bytes"))
    assert (state.here, state.state, is_due(state, RunOptions())) == (State.GONE, State.NEW, True)
    assert reason(state) == "its rows are gone from the table"


@pytest.mark.parametrize(
    ("here", "published", "due"),
    [
        ("copy/f.csv.gz", "copy/f.csv.gz", True),
        ("copy/f.csv.gz", "other/f.csv.gz", False),
        ("copy/f.csv.gz", "tlc/f.parquet", False),
        ("tlc/f.parquet", "copy/f.csv.gz", False),
        ("tlc/f.parquet", "copy/f.parquet", True),
    ],
)
def test_a_sync_takes_no_csv_copy_for_another_version_of_a_month(here, published, due):
    version = FileVersion.of_row(
        {"etag": "a", "file_bytes": 9, "sha256": "", "source_url": here, "landed_at": LANDED_AT}
        | {"file_name": here.rpartition("/")[2]}
    )
    file = PublishedFile("green", TODAY, published.rpartition("/")[2], published, 9, "b", None)
    state = MonthState(Month("green", TODAY), version, version, file)
    assert (state.state, is_due(state, RunOptions())) == (State.CHANGED, due)
    assert ("nyc-tlc run --dataset green --month" in reason(state)) is not due


def test_today_is_a_setting(monkeypatch):
    monkeypatch.setenv("TLC_TODAY", "2024-02-29")
    assert load_settings().today == dt.date(2024, 2, 29)
    monkeypatch.setenv("TLC_TODAY", "tomorrow")
    with pytest.raises(UsageError, match="TLC_TODAY='tomorrow': write YYYY-MM-DD"):
        load_settings()


def test_today_is_new_yorks_whatever_the_machines_zone(tmp_path):
    # 02:30 UTC on the 1st: still the month before in New York, long the 1st in Auckland.
    code = (
        "import datetime as dt, loader.settings as s\n"
        "class Clock(dt.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None):\n"
        "        return dt.datetime(2024, 3, 1, 2, 30, tzinfo=dt.UTC).astimezone(tz)\n"
        "s.dt.datetime = Clock\n"
        "print(s.load_settings().today)"
    )
    env = {name: value for name, value in os.environ.items() if name != "TLC_TODAY"}
    for zone in ("UTC", "Pacific/Auckland"):
        process = ran(sys.executable, "-c", code, env=env | {"TZ": zone})
        assert process.stdout == "2024-02-29\n", process.stderr
