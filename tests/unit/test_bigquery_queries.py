"""Of two transactions BigQuery aborts one: it is tried again. No emulator does that."""

from types import SimpleNamespace

import pytest
from google.api_core.exceptions import BadRequest

from loader.errors import WarehouseError
from loader.warehouse import bigquery
from loader.warehouse.bigquery import BigQueryWarehouse

ABORTED = "Transaction is aborted due to concurrent update against table p:tlc_raw.month_files"


class FakeClient:
    """Aborts so many statements, then answers."""

    def __init__(self, message: str, times: int) -> None:
        self.errors = [BadRequest(message)] * times
        self.asked = 0

    def query(self, query: str, job_config: object) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(result=self._rows)

    def _rows(self) -> list[dict]:
        if self.errors:
            raise self.errors.pop()
        return [{"n": 1}]


def warehouse(client: FakeClient, monkeypatch) -> BigQueryWarehouse:
    monkeypatch.setattr(bigquery, "_ABORTED_MAX_SECONDS", 0)
    made = object.__new__(BigQueryWarehouse)
    made.client = client
    return made


def test_an_aborted_transaction_is_tried_again(monkeypatch):
    client = FakeClient(ABORTED, times=3)
    assert warehouse(client, monkeypatch)._query("commit") == [{"n": 1}]
    assert client.asked == 4


@pytest.mark.parametrize(("message", "asked"), [(ABORTED, 8), ("Syntax error", 1)])
def test_what_stays_or_is_another_failure_is_told(monkeypatch, message, asked):
    client = FakeClient(message, times=99)
    with pytest.raises(WarehouseError, match=message):
        warehouse(client, monkeypatch)._query("commit")
    assert client.asked == asked
