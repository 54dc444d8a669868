"""What a month costs on BigQuery, computed by its rules from the statements that were sent.

Nothing here was billed: the emulator bills nothing. The rules are in tests/googlesql/bill.py.
"""

import copy
import datetime as dt
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from loader.datasets import datasets
from tests.conftest import publish, succeeded
from tests.emulator.workspace import workspace_on

pytestmark = pytest.mark.slow

FIRST, SECOND = dt.date(2025, 1, 1), dt.date(2025, 2, 1)
MONTHS = [*((dataset, FIRST) for dataset in datasets()), ("yellow", SECOND)]
ROWS = 40
#: A big month of yellow, for which the limit is.
BIG_ROWS, BIG_LIMIT = 7_700_000, 2.9e9
PREFIX = "bill_"
#: Of dbt's nodes, those that make or test marts.
MARTS = re.compile(
    r'"node_id": "\w+\.nyc_tlc\.'
    r"(?:\w*_zone_|zone_pairs|month|dropoff_|dates|trips|app_trips|marts_)"
)


@dataclass
class Costs:
    """Bytes of a month of each dataset, and of one more in a warehouse that has the first.

    Attributes:
        raw: size of the raw rows, by dataset and month.
        read: bytes that statements on these read, by dataset and month.
        marts: bytes of the trips that the marts read, by dataset and month.
        small: the number of small tables that statements read, in all.
    """

    raw: dict[tuple[str, dt.date], int] = field(default_factory=dict)
    read: dict[tuple[str, dt.date], int] = field(default_factory=lambda: defaultdict(int))
    marts: dict[tuple[str, dt.date], int] = field(default_factory=lambda: defaultdict(int))
    small: int = 0


@pytest.fixture(scope="module")
def costs(rig, new_database, tmp_path_factory) -> Costs:
    from tests.googlesql.bill import bytes_read, size
    from tests.googlesql.jobs import Jobs

    workspace = workspace_on(rig, tmp_path_factory.mktemp("bill"), TLC_SCHEMA_PREFIX=PREFIX)
    for dataset, month in MONTHS:
        publish(workspace.source, dataset, f"{month:%Y-%m}", ROWS)
    jobs = Jobs(rig.jobs)
    list(jobs.new())  # those of other files' tests
    window = ("--since", "2025-01", "--to", "2025-02")
    succeeded(workspace.loader("sync", "--source", workspace.source, *window))

    found = Costs()
    database = new_database(executes=True)

    def add(database: Any, kind: str, text: str) -> None:
        for (table, month), count in bytes_read(database, kind, text).items():
            if not month:
                found.small += database.executes
            elif database.executes:
                found.read[dataset_of(table), month] += count
            elif f'"dataset": "{dataset_of(table)}"' in job["sql"]:
                # the marts' SQL has a branch for each dataset, whose name is a constant there
                found.marts[dataset_of(table), month] += count

    database.before_each = add
    # The engine executes no MERGE, and the marts' rows are few: their statements are only analyzed.
    marts = copy.copy(database)
    marts.executes = False
    for job in jobs.new():
        if "table" not in job:
            if not (job["error"] or "").startswith("Not found"):
                marts.tables = database.tables
                jobs.run(marts if MARTS.search(job["sql"]) else database, job)
            continue
        jobs.load(database, job)
        if f"{PREFIX}tlc_raw." in job["table"]:
            table = database.tables[job["table"]]
            for month, count in size(table, table.columns).items():
                found.raw[dataset_of(job["table"]), month] = count
    return found


def dataset_of(table: str) -> str:
    return table.rpartition(".")[2].removesuffix("_tripdata")


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_a_month_reads_at_most_two_and_a_quarter_of_its_raw_bytes(costs, dataset, month):
    assert costs.raw[dataset, month] > ROWS * 30
    assert costs.read[dataset, month] <= 2.25 * costs.raw[dataset, month]


def test_a_big_month_of_yellow_reads_less_than_its_limit(costs):
    assert costs.read["yellow", SECOND] / ROWS * BIG_ROWS <= BIG_LIMIT


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_marts_read_at_most_six_and_a_quarter_of_the_raw_bytes(costs, dataset, month):
    """Five marts read the columns that their SQL names; of these the service leaves some out."""
    assert ROWS * 30 < costs.marts[dataset, month] <= 6.25 * costs.raw[dataset, month]


def test_a_month_reads_nothing_of_the_months_before_it(costs):
    first, second = (costs.read["yellow", m] / costs.raw["yellow", m] for m in (FIRST, SECOND))
    assert first == pytest.approx(second, rel=0.02)


def test_statements_on_small_tables_are_few(costs):
    """Each small table that a statement reads is billed as 10 MB."""
    assert costs.small / len(MONTHS) < 80
