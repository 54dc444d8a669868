"""`dbt source freshness` holds each dataset against its own newest month, and names it."""

import datetime as dt

from loader.calendar import add_months, format_month
from tests.conftest import Workspace, publish, succeeded
from tests.months import run


def months_ago(count: int) -> dt.date:
    return add_months(dt.date.today().replace(day=1), -count)


def bring(workspace: Workspace, command: str, dataset: str, month: dt.date) -> None:
    publish(workspace.source, dataset, format_month(month), 100)
    run(workspace, dataset, format_month(month), command=command)


FRESHNESS = "from dbt.cli.main import cli; cli(['--no-use-colors', 'source', 'freshness'])"


def test_freshness_names_the_dataset_that_is_late(workspace):
    green, yellow = (f"freshness of tlc_raw.{name}_tripdata" for name in ("green", "yellow"))
    bring(workspace, "run", "green", months_ago(9))  # its raw rows are gone
    late = workspace.python(FRESHNESS)
    assert late.returncode == 1
    assert f"ERROR STALE {green}" in late.stdout
    assert f"PASS {yellow}" in late.stdout  # never landed
    assert "Traceback" not in late.stdout + late.stderr

    bring(workspace, "load", "green", months_ago(3))
    bring(workspace, "load", "yellow", months_ago(5))
    workspace.query(f"drop table {workspace.raw}.green_tripdata cascade")
    checked = succeeded(workspace.python(FRESHNESS))
    assert f"PASS {green}" in checked.stdout
    assert f"WARN {yellow}" in checked.stdout
