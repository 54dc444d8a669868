"""CSV copies: their rows are in the tables as they are, and replace no month unasked."""

import json
import shutil
from pathlib import Path

import pytest

from tests import months
from tests.cdn import cdn
from tests.cdn import status as status_of
from tests.conftest import DATA_DIR, Workspace, publish, succeeded
from tests.exact import assert_same, expected, expected_of_csv, ids_of, stored
from tests.postgres.test_end_to_end import ledger

__all__ = ["cdn"]

GREEN = ("--dataset", "green", "--month", "2020-04")
NAME = "green_tripdata_2020-04"


@pytest.fixture
def copies(tmp_path) -> tuple[Path, Path]:
    """A month of green as a CSV copy and as TLC's Parquet file: the real ones, or generated."""
    folders = tmp_path / "csv", tmp_path / "parquet"
    names = f"{NAME}.csv.gz", f"{NAME}.parquet"
    for folder, name in zip(folders, names, strict=True):
        folder.mkdir()
        if DATA_DIR:
            real = DATA_DIR / "csv-mirror" / ("green" if name.endswith(".gz") else "") / name
            shutil.copy(real, folder / name)
        else:
            publish(folder, "green", "2020-04", 3_000, suffix=name.removeprefix(NAME))
    return folders[0] / names[0], folders[1] / names[1]


def run(workspace: Workspace, source: object, *options: str) -> dict:
    process = months.run(workspace, "green", "2020-04", "--json", *options, source=source)
    return json.loads(process.stdout)[0]


def status(workspace: Workspace) -> list[dict]:
    return json.loads(succeeded(workspace.loader("status", "--json")).stdout)


def test_a_month_goes_from_csv_to_parquet_by_name_and_back_when_it_is_accepted(workspace, copies):
    copy, tlc = copies
    of_csv, of_parquet = expected_of_csv(copy, "green"), expected(tlc, "green")
    first = run(workspace, copy.parent)
    assert (first["rows"], first["rows_added"]) == (len(of_csv), len(of_csv))
    assert_same(stored(workspace, "green", "2020-04"), of_csv)
    ids = stored(workspace, "green", "2020-04", "unique_row_id")["unique_row_id"].to_pylist()
    assert ids == ids_of(of_csv, "green", "2020-04")
    assert [(s["format"], s["table_rows"]) for s in status(workspace)] == [("csv", len(of_csv))]

    # A sync from TLC leaves it alone, and says why; from its own place there is nothing new.
    sync = ("sync", "--dataset", "green", "--since", "2020-04", "--to", "2020-04")
    for source in (tlc.parent, copy.parent):
        process = succeeded(workspace.loader(*sync, "--source", source))
        assert "nothing new: 1 month looked at, 0 not yet published" in process.stdout

    second = run(workspace, tlc.parent)
    assert_same(stored(workspace, "green", "2020-04"), of_parquet)
    same = set(ids) & set(ids_of(of_parquet, "green", "2020-04"))
    assert second["rows_unchanged"] <= len(same)
    assert second["rows_added"] == len(of_parquet) - second["rows_unchanged"]
    if DATA_DIR:
        counts = [second[f"rows_{what}"] for what in ("added", "removed", "unchanged")]
        assert counts == [32 + 11_110, 11_110, 24_502]
    assert [s["format"] for s in status(workspace)] == ["parquet"]

    # Back to the copy: only when the user accepts it.
    refused = workspace.loader("run", *GREEN, "--source", copy.parent)
    assert refused.returncode == 7
    assert "suspect: a CSV copy where the table holds TLC's Parquet file" in refused.stderr
    assert_same(stored(workspace, "green", "2020-04"), of_parquet)
    run(workspace, copy.parent, "--accept")
    assert_same(stored(workspace, "green", "2020-04"), of_csv)
    versions = ledger(workspace, "green", "2020-04")
    assert [(current, rows) for current, rows, *_ in versions] == [
        *((False, len(of_parquet)), (True, len(of_csv)))
    ]


def test_releases_of_csv_copies_are_a_source_over_http_with_its_redirect(workspace, cdn, copies):
    base, signed = f"{cdn.url}/releases/download", f"{NAME}.csv.gz"
    shutil.copy(copies[0], cdn.folder)
    for method in ("HEAD", "GET"):
        cdn.script(signed, [status_of(302, Location=f"/signed/{signed}?token=x")], method)
    done = run(workspace, base)
    assert done["rows"] == len(expected_of_csv(copies[0], "green"))
    assert [(one.method, one.path) for one in cdn.requests] == [
        (method, path)
        for method in ("HEAD", "GET")
        for path in (f"/trip-data/releases/download/green/{signed}", f"/signed/{signed}?token=x")
    ]
    (state,) = status(workspace)
    assert state["source_url"] == f"{base}/green/{signed}"


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv"])
def test_generated_copies_arrive_as_they_are(workspace, dataset):
    path = publish(workspace.source, dataset, "2019-03", 1_500, suffix=".csv.gz")
    months.run(workspace, dataset, "2019-03")
    wanted = expected_of_csv(path, dataset)
    assert_same(stored(workspace, dataset, "2019-03"), wanted)
    ids = stored(workspace, dataset, "2019-03", "unique_row_id")["unique_row_id"].to_pylist()
    assert sorted(ids) == sorted(ids_of(wanted, dataset, "2019-03"))


FHVHV = b"dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID\n"
REFUSED = {
    "fhvhv": (
        FHVHV + b"B02764,2021-06-01 00:00:00,2021-06-01 00:10:00,1,2\n",
        "hvfhs_license_num: mis",
    ),
    "green": (b"VendorID,lpep_pickup_datetime\n1,2021-06-01\n", "column"),
    "fhv": (FHVHV + b"B1,2021-06-01 00:00:00,,1,2,3\n", "row 1 after the header: expected 5"),
}


@pytest.mark.parametrize("dataset", REFUSED)
def test_a_copy_that_breaks_the_contract_is_refused_in_one_line(workspace, dataset):
    content, reason = REFUSED[dataset]
    (workspace.source / f"{dataset}_tripdata_2021-06.csv").write_bytes(content)
    month = ("--dataset", dataset, "--month", "2021-06", "--source", workspace.source)
    process = workspace.loader("load", *month)
    assert process.returncode == 5
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert f"{dataset} 2021-06" in line
    assert f"{dataset}_tripdata_2021-06.csv" in line
    assert reason in line
