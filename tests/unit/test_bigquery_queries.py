"""Of two transactions BigQuery aborts one: it is tried again. No emulator does that."""

import threading
from types import SimpleNamespace

import pytest
from google.api_core.exceptions import BadRequest, Forbidden

from loader.errors import WarehouseError
from loader.warehouse import bigquery_connection
from loader.warehouse.bigquery import BigQueryWarehouse
from loader.warehouse.bigquery_datasets import _loads_from
from loader.warehouse.bigquery_locks import _repeating

ABORTED = "Transaction is aborted due to concurrent update against table p:tlc_raw.month_files"


class FakeClient:
    """Aborts so many statements, then answers."""

    def __init__(self, message: str, times: int) -> None:
        self.errors = [BadRequest(message)] * times
        self.asked = 0

    def query(self, query: str, job_config: object) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(result=self._rows, total_bytes_billed=7)

    def _rows(self) -> list[dict]:
        if self.errors:
            raise self.errors.pop()
        return [{"n": 1}]


def warehouse(client: FakeClient, monkeypatch) -> BigQueryWarehouse:
    monkeypatch.setattr(bigquery_connection, "_ABORTED_MAX_SECONDS", 0)
    made = object.__new__(BigQueryWarehouse)
    made.client = client
    made._max_bytes, made._bytes_billed, made.labels = 10**9, 0, {}
    return made


def test_an_aborted_transaction_is_tried_again(monkeypatch):
    client = FakeClient(ABORTED, times=3)
    made = warehouse(client, monkeypatch)
    assert made.query("commit") == [{"n": 1}]
    assert client.asked == 4
    assert made.bytes_billed(None) == 7


@pytest.mark.parametrize(("message", "asked"), [(ABORTED, 8), ("Syntax error", 1)])
def test_what_stays_or_is_another_failure_is_told(monkeypatch, message, asked):
    client = FakeClient(message, times=99)
    with pytest.raises(WarehouseError, match=message):
        warehouse(client, monkeypatch).query("commit")
    assert client.asked == asked


def test_a_bill_that_may_not_be_seen_is_no_error(monkeypatch):
    client = FakeClient(ABORTED, times=0)
    made = warehouse(client, monkeypatch)
    made._opened_at = None

    def forbidden(**_: object) -> None:
        raise Forbidden("bigquery.jobs.list")

    client.list_jobs = forbidden
    assert made.bytes_billed("of dbt") is None
    assert made.bytes_billed(None) == 0


@pytest.mark.parametrize(
    ("bucket", "datasets", "loads"),
    [
        ("US", "US", True),
        ("US-EAST1", "US", True),
        ("EUROPE-WEST1", "EU", True),
        ("us-east1", "us-east1", True),
        ("EU", "US", False),
        ("US", "us-east1", False),
        ("US-EAST1", "EU", False),
    ],
)
def test_a_bucket_must_be_where_the_datasets_are(bucket, datasets, loads):
    assert _loads_from(bucket, datasets) is loads


def test_a_lock_is_renewed_until_it_is_given_back():
    renewed = [threading.Event() for _ in range(3)]
    left = iter(renewed)

    def renew() -> None:
        next(left, renewed[-1]).set()

    with _repeating(renew, 0.001):
        for event in renewed:
            assert event.wait(60)
    assert not [thread for thread in threading.enumerate() if "repeat" in thread.name]
