"""The summary: a table that stays one, whatever messages say."""

import datetime as dt
from pathlib import Path

import pytest

from loader.calendar import Month
from loader.cli.summary import summarizing
from loader.errors import FileRefusedError, SourceError, UsageError
from loader.months.state import MonthState
from loader.run import MonthRun, Result

JANUARY, FEBRUARY, MARCH = (Month("green", dt.date(2024, number, 1)) for number in (1, 2, 3))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_months_stand_in_one_table_oldest_first(tmp_path, monkeypatch):
    path = tmp_path / "summary.md"
    path.write_text("before\n\n")
    warnings = {
        "unusual_values_green": {"trip_distance": 1234, "fare_amount": 5},
        "other": {"rows": 7},
    }
    with summarizing(path) as told:
        told.states = [MonthState(month, None, None) for month in (JANUARY, FEBRUARY, MARCH)]
        monkeypatch.setattr("loader.cli.summary.time.monotonic", lambda: told.started + 75.04)
        told.done = [
            MonthRun(
                *(FEBRUARY, Result.MERGED, 1000, 900, 1, 100, warnings),
                seconds=7.25,
                bytes_billed=2_750_000_000,
                dollars=0.0156,
            ),
            MonthRun(JANUARY, Result.FAILED, error=FileRefusedError("a|b <img>\n[x](y)")),
        ]
    before, empty, head, _, january, february, march, end = path.read_text().split("\n", 7)
    assert (before, empty, end) == (
        "before",
        "",
        "\n1 of 2 months, 1,000 rows, 75.0 s, 2.75 GB billed ($0.016)\n\n"
        "To look at them: `nyc-tlc report --month 2024-02`\n\n",
    )
    assert len(cells(head)) == 8
    assert cells(january)[:2] == ["green 2024-01", "**failed**"]
    assert cells(january)[7] == "exit 5: a&#124;b &lt;img> &#91;x](y)"
    assert cells(february) == [
        *("green 2024-02", "merged", "1,000", "900", "1", "100", "7.2"),
        "warned: unusual values: trip_distance 1,234, fare_amount 5; warned: other: rows 7;"
        " 2.75 GB billed ($0.016)",
    ]
    due = "not yet published, expected by 2024-07-09"
    assert cells(march) == ["green 2024-03", "skipped", *[""] * 5, due]


def test_what_kept_the_months_from_being_looked_at_is_told(tmp_path):
    path = tmp_path / "summary.md"
    with pytest.raises(SourceError), summarizing(path):
        raise SourceError("blocked")
    assert path.read_text() == "**Failed:** blocked\n\n"


def test_no_file_no_summary_and_a_folder_is_none(tmp_path):
    with summarizing(None):
        pass
    with pytest.raises(UsageError, match="can't write the summary"), summarizing(Path("/")):
        pass
