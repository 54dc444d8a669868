"""Every month beside what TLC itself counted."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from psycopg2.extras import execute_values

from loader.calendar import days_of, parse_month
from tests.cdn import Behaviour, cdn, drop, status
from tests.conftest import DATA_DIR, DATA_TESTS, IMPATIENT, publish, succeeded
from tests.months import run

__all__ = ["cdn"]

HEADER = "Month/Year,License Class,Trips Per Day"
OFFICIAL = "official_trips, official_difference, official_verdict"


def report(folder: Path, **per_day: int) -> Path:
    """Write a monthly report of a month of green, and of others by `_2023_02=…`."""
    path = folder / "data_reports_monthly.csv"
    lines = [f'{name[1:].replace("_", "-")},Green,"{n:,}"' for name, n in per_day.items()]
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


def merged(workspace, rows: list[tuple]) -> None:
    """Say in the ledger that months are merged: dataset, month, rows."""
    with workspace.connect() as connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            f"insert into {workspace.tlc}.file_ledger (dataset, file_month, table_rows, is_current)"
            " values %s",
            [(*row, True) for row in rows],
        )


def verdicts(workspace, columns: str = OFFICIAL) -> dict[tuple, tuple]:
    rows = workspace.query(
        f"select dataset, to_char(file_month, 'YYYY-MM'), {columns}"
        f" from {workspace.tlc}.official_verdicts"
    )
    return {row[:2]: row[2:] for row in rows}


@pytest.mark.skipif(DATA_DIR is None, reason="no real reports at hand")
def test_all_comparisons_come_out_of_the_reports(workspace):
    official = DATA_DIR / "official"
    succeeded(workspace.loader("figures", "--source", official))
    with (official / "official-vs-files.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 529
    merged(workspace, [(r["dataset"], f"{r['month']}-01", r["file_rows"]) for r in expected])
    found = verdicts(workspace, f"{OFFICIAL}, official_share, cause, awaits_republication")
    assert len(found) == 529
    for row in expected:
        trips, difference, verdict, share, cause, awaits = found[row["dataset"], row["month"]]
        assert (trips, difference) == (int(row["official_total"]), int(row["diff"])), row
        assert share == pytest.approx(difference / trips)
        if row["dataset"] == "fhv":
            told = "not comparable"
        elif abs(difference) <= trips * 0.001 + int(row["days"]):
            told = "agrees"
        else:
            told = "file lacks" if difference < 0 else "file has more"
        assert verdict == told, row
        assert awaits == (row["dataset"] == "fhvhv" and row["month"] in ("2026-01", "2026-06"))
        assert bool(cause) == (row["dataset"] == "fhv" or is_known(row["dataset"], row["month"]))
    told = [verdict for _, _, verdict, *_ in found.values()]
    assert [told.count(one) for one in ("agrees", "file lacks", "file has more")] == [303, 8, 96]

    # each vintage is kept, and the newest counts
    revised = workspace.query(
        f"select vintage, trips_per_day, trips from {workspace.tlc}.official_trips"
        " where dataset = 'fhvhv' and month = '2021-09-01' and source = 'monthly report' order by 1"
    )
    assert revised == [
        ("2022-03", 423_584, 12_707_520),
        ("2024-01", 496_112, 14_883_360),
        ("2025-03", 496_112, 14_883_360),
    ]
    by_base = workspace.query(
        f"select trips from {workspace.tlc}.official_trips"
        " where source = 'base report' and month = '2026-01-01'"
    )
    assert by_base == [(20_839_446,)]


def is_known(dataset: str, month: str) -> bool:
    six = ("2012-01", "2012-02", "2012-04", "2012-05", "2013-04", "2013-08")
    return (
        (dataset == "green" and "2018-08" <= month <= "2020-01")
        or (dataset == "yellow" and month in six)
        or (dataset, month) == ("fhvhv", "2026-06")
    )


def test_a_verdict_follows_the_figures(workspace):
    """It is known before a month is loaded, and changes when TLC revises what it counted."""
    workspace = replace(workspace, env=workspace.env | DATA_TESTS, marts=True)
    publish(workspace.source, "green", "2023-01", 3_100)
    publish(workspace.source, "green", "2023-02", 3_100)
    path = report(workspace.source, _2023_01=100, _2023_02=200)
    process = succeeded(workspace.loader("figures", "--source", path))
    assert "TLC's monthly report  landed: to 2023-02, 2 figures" in process.stderr
    # The newest known figures are of a later report: they count where it has any.
    assert verdicts(workspace) == {}

    summary = workspace.local_dir / "summary.md"
    months = ("--dataset", "green", "--since", "2023-01", "--to", "2023-02")
    options = ("sync", *months, "--source", workspace.source)
    process = succeeded(workspace.loader(*options, "--json", "--summary", summary))
    one, two = json.loads(process.stdout)
    known = {month: figure(workspace, "2025-03", month) for month in ("2023-01", "2023-02")}
    for month in (one, two):
        differs = {"file lacks": known[month["month"]] - 3_100}
        assert month["warnings"]["official_figures_green"] == differs
        text = f"not as many trips as TLC itself counted: file lacks {differs['file lacks']:,}"
        assert f"green {month['month']}  warning: {text}\n" in process.stderr
        assert text in summary.read_text()

    newer = {"_2023_01": 100, "_2023_02": 90, "_2031_01": 1}  # rounded, too few, and newest of all
    report(workspace.source, **newer)
    process = succeeded(workspace.loader(*options, "--summary", summary))
    for told in (process.stderr, summary.read_text()):
        assert (
            "warning: TLC counted other trips than its files have, without a known cause: green"
            in told
        )
    expected = {"2023-01": (3_100, 0, "agrees"), "2023-02": (2_520, 580, "file has more")}
    assert verdicts(workspace) == {("green", month): told for month, told in expected.items()}
    quality = workspace.query(
        f"select to_char(file_month, 'YYYY-MM'), {OFFICIAL}"
        f" from {workspace.tlc}_marts.month_quality"
    )
    assert {month: tuple(told) for month, *told in quality} == expected
    shown = json.loads(succeeded(workspace.loader("status", "--json")).stdout)
    assert {
        row["month"]: (row["official_trips"], row["official_difference"], row["official_verdict"])
        for row in shown
    } == expected
    assert "file has more 23.0%" in succeeded(workspace.loader("status")).stdout


def figure(workspace, vintage: str, month: str) -> int:
    ((per_day,),) = workspace.query(
        f"select trips_per_day from {workspace.tlc}.official_trips"
        " where dataset = 'green' and vintage = %s and month = %s",
        vintage,
        f"{month}-01",
    )
    return per_day * len(days_of(parse_month(month)))


BAD = {
    "out of reach": [drop()] * 6,
    "fails": [status(500)] * 6,
    "blocked": None,
    "a web page": [Behaviour(200, body=b"<!DOCTYPE html>")],
    "a month twice": [
        Behaviour(200, body=f"{HEADER}\n2031-01,Green,1\n2031-01,Green,1\n".encode())
    ],
    "negative": [Behaviour(200, body=f"{HEADER}\n2031-01,Green,-1\n".encode())],
    "a column gone": [Behaviour(200, body=b"Month/Year,License Class\n2031-01,Green\n")],
}


@pytest.fixture(scope="module")
def with_figures(new_workspace):
    """A warehouse with a month, and a report of it."""
    workspace = new_workspace(marts=True)
    publish(workspace.source, "green", "2023-01", 310)
    report(workspace.source, _2023_01=10, _2031_01=1)
    options = ("--dataset", "green", "--since", "2023-01", "--to", "2023-01")
    succeeded(workspace.loader("sync", *options, "--source", workspace.source))
    return workspace


@pytest.mark.parametrize("behaviour", BAD.values(), ids=BAD)
def test_bad_figures_leave_the_former_and_months_go_on(with_figures, cdn, behaviour):
    before = verdicts(with_figures)
    assert before == {("green", "2023-01"): (310, 0, "agrees")}
    shutil.copy(with_figures.source / "green_tripdata_2023-01.parquet", cdn.folder)
    if behaviour:
        cdn.script("data_reports_monthly.csv", behaviour)
    options = ("--dataset", "green", "--since", "2023-01", "--to", "2023-02", "--source", cdn.url)
    process = succeeded(with_figures.python(IMPATIENT, "sync", *options))
    warnings = [line for line in process.stderr.splitlines() if "TLC's own counts" in line]
    assert len(warnings) == (behaviour is not None), process.stderr
    assert all("warning: " in line and "go on without" in line for line in warnings)
    # the first time it is asked for its bytes, as it came from elsewhere
    assert "nothing new: 2 months" in process.stdout or "nothing to do" in process.stdout
    assert verdicts(with_figures) == before


def test_a_month_that_the_bases_count_otherwise_is_looked_at_however_old(workspace, cdn):
    old = publish(cdn.folder, "fhvhv", "2025-01", 60)
    publish(cdn.folder, "fhvhv", "2026-05", 60)
    publish(cdn.folder, "fhvhv", "2023-01", 1)  # without it the CDN seems to block us
    for month in ("2025-01", "2026-05"):
        run(workspace, "fhvhv", month, source=cdn.url)
    cdn.requests.clear()
    sync = ("sync", "--source", cdn.url, "--to", "2026-06")
    process = succeeded(workspace.loader(*sync))
    assert "nothing new: 9 months looked at" in process.stdout
    assert cdn.asked("HEAD", old.name)
    licences = pq.read_table(old)["hvfhs_license_num"].to_pylist()
    # what NYC Open Data says of January 2025
    lyft, uber = licences.count("HV0005") - 5_049_211, licences.count("HV0003") - 15_356_455
    told = f"beside TLC's own count, Lyft {lyft:+,}, Uber {uber:+,}\n"
    assert f"fhvhv 2025-01  TLC will probably publish it again: {told}" in process.stderr


def test_a_place_without_reports_is_told(workspace):
    publish(workspace.source, "green", "2023-01", 10)
    process = workspace.loader("figures", "--source", workspace.source)
    assert process.returncode == 3
    assert process.stderr == f"error: no report of TLC's own counts is in {workspace.source}\n"


def test_the_citys_list_of_bases_names_those_of_trips(workspace):
    def bases(*numbers: str) -> dict[str, tuple]:
        rows = workspace.query(
            f"select base_num, base_name, base_type, company from {workspace.tlc}.licensed_bases"
            " where base_num = any(%s)",
            list(numbers),
        )
        return {number: row for number, *row in rows}

    path = publish(workspace.source, "fhv", "2021-01", 50)
    sent_by = [number.strip().upper() for number in pq.read_table(path)[0].to_pylist()]
    one, other = list(dict.fromkeys(sent_by))[:2]
    city = workspace.source / "current_bases.csv"
    header = "license_number,entity_name,type_of_base"
    city.write_text(f"{header}\n{one},ONE INC,LIVERY BASE\nB99999,NEW INC,BLACK CAR BASE\n")
    options = ("sync", "--dataset", "fhv", "--since", "2021-01", "--to", "2021-01")
    process = succeeded(workspace.loader(*options, "--source", workspace.source))
    assert "list of bases  landed: 2 bases\n" in process.stderr
    named = f"""select upper(trim(dispatching_base_num)), dispatching_base_name,
        dispatching_base_type, count(*) from {workspace.tlc}_marts.app_trips group by 1, 2, 3"""
    found = {number: (name, kind, rows) for number, name, kind, rows in workspace.query(named)}
    assert found[one] == ("ONE INC", "LIVERY BASE", sent_by.count(one))
    assert found[other][1:] == (None, sent_by.count(other))
    assert sum(rows for *_, rows in found.values()) == 50

    # The seed knows more of a base than the list; and what the list loses keeps the seed's name.
    (lyft,) = workspace.query(
        f"select base_name from {workspace.tlc}.bases where base_num = 'B02510'"
    )
    assert bases("B02510") == {"B02510": [*lyft, None, "Lyft"]}
    city.write_text(f"{header}\nB02510,LYFT INC,BLACK CAR BASE\n")
    process = succeeded(workspace.loader("figures", "--source", city))
    assert "list of bases  landed: 1 base\n" in process.stderr
    assert bases("B02510", "B99999") == {"B02510": ["LYFT INC", "BLACK CAR BASE", "Lyft"]}
    assert succeeded(workspace.loader("figures", "--source", city)).stdout == (
        "nothing new: these figures are here already\n"
    )
    city.write_text("license_number,entity_name,type_of_base\n")
    refused = workspace.loader("figures", "--source", city)
    assert refused.returncode == 5
    assert refused.stderr.splitlines()[-1] == "error: current_bases.csv: it has no base"
    assert bases("B02510")["B02510"][0] == "LYFT INC"
