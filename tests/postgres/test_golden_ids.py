"""Ids that exist never change: those of real months, as the first version gave that loaded them."""

import pytest

from tests.conftest import DATA_DIR, Workspace, succeeded

#: Of each month: its rows, and the md5 of its ids in the file's order, separated by commas.
IDS = {
    ("green", "2022-01"): (62_495, "672d19c2487d4271fdb04df73c1e57f0"),
    ("green", "2022-02"): (69_399, "d2a25f6afb3bfa3152ab9f899081e549"),
    ("green", "2022-03"): (78_537, "6a7781d5b9a7278cba4f6256fcbf77c9"),
    ("green", "2023-01"): (68_211, "c94247ccb2300c91c8f723e3e3cec3f8"),
    ("green", "2023-02"): (64_809, "329f9d12ca5a32bc76a260983d145822"),
    ("green", "2024-12"): (53_994, "9f2624467ae00d17001da5c10f63e3a6"),
    ("green", "2025-01"): (48_326, "cf83b964a1df4ee4ae4d540d007fd71f"),
    ("yellow", "2009-01"): (998, "43080c97d2f5b7131394482af4d49280"),
    ("yellow", "2009-12"): (998, "edaf4b4f58fbcd6c0b1333479d7b0190"),
    ("yellow", "2010-01"): (998, "21c68530825ddf8c84f25fe78d8107b9"),
    ("yellow", "2010-02"): (998, "827de5be48825a81531c45c53a6a8fa0"),
    ("yellow", "2010-08"): (998, "586dbfb2563f879f6c7441dcb62855de"),
    ("yellow", "2019-01"): (10_000, "0b947d958c3245432b0b22850e444075"),
    ("yellow", "2019-02"): (10_000, "e20e2ea0715af7a079c97a49e87c08b9"),
    ("yellow", "2020-04"): (1_000, "6aa97c05b0da9539ab6daffad69f66f5"),
}
RANGES = (
    ("green", "2022-01", "2022-03"),
    ("green", "2023-01", "2023-02"),
    ("green", "2024-12", "2025-01"),
    *(("yellow", month, month) for month in ("2009-01", "2009-12", "2010-08")),
    ("yellow", "2010-01", "2010-02"),
    ("yellow", "2019-01", "2019-02"),
    ("yellow", "2020-04", "2020-04"),
)


@pytest.mark.skipif(DATA_DIR is None, reason="needs TLC's own files")
def test_the_ids_of_real_months_are_those_of_the_first_version(workspace: Workspace):
    for dataset, first, last in RANGES:
        source = DATA_DIR / ("old-yellow" if last < "2011" else "trip-data")
        months = ("--dataset", dataset, "--month", first, "--to", last)
        succeeded(workspace.loader("load", *months, "--source", source))
    succeeded(workspace.dbt("build"))
    found = {}
    for dataset in ("green", "yellow"):
        rows = workspace.query(
            "select to_char(file_month, 'YYYY-MM'), count(*),"
            " md5(string_agg(unique_row_id::text, ',' order by file_row))"
            f" from {workspace.tlc}.{dataset}_tripdata group by file_month"
        )
        found |= {(dataset, month): (count, digest) for month, count, digest in rows}
    assert found == IDS
