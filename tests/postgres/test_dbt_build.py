"""`dbt build` and `dbt test` by themselves, as users call them."""

import ast
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import DATA_TESTS, Workspace, publish, succeeded
from tests.months import run


def scans(workspace: Workspace) -> int:
    """Count how often the month's partition was read; sessions that have ended are in it."""
    ((count,),) = workspace.query(
        "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables"
        " where schemaname = %s and relname = 'green_tripdata_2023_01'",
        workspace.tlc,
    )
    return count


def test_a_month_that_is_merged_and_dropped_is_nothing_to_do_and_can_be_tested(workspace):
    month, rows = ("--vars", "{dataset: green, month: 2023-01}"), 400
    publish(workspace.source, "green", "2023-01", rows)
    run(workspace, "green", "2023-01", "--marts", "now")
    before = scans(workspace)

    for options, said in (
        (month, "green 2023-01: merged already, and its raw rows are dropped: nothing to do"),
        ((), "every landed month of fhv, fhvhv, green, yellow is merged: nothing to do"),
    ):
        assert said in succeeded(workspace.dbt("build", *options, **DATA_TESTS)).stdout
    assert scans(workspace) == before

    # A test reads the month.
    workspace.query(f"delete from {workspace.tlc}.green_tripdata where file_row = 7")
    failed = workspace.dbt("test", *month, **DATA_TESTS)
    assert failed.returncode == 1
    assert "FAIL 1 rows_reconcile_green" in failed.stdout
    assert "nothing to do" not in failed.stdout


@pytest.mark.empty_warehouse
def test_a_run_builds_all_views_and_seeds_first_and_then_the_table_alone(workspace):
    for month in ("2023-01", "2023-02"):
        publish(workspace.source, "green", month, 50)
    run(workspace, "green", "2023-01:2023-02", "--marts", "later", **DATA_TESTS)

    def built(name: str) -> set[str]:
        results = json.loads((workspace.local_dir / "dbt" / name).read_text())["results"]
        ids = (result["unique_id"].split(".") for result in results)
        return {".".join((kind, name)) for kind, _, name, *_ in ids}

    first, second = (built(f"run_results_green_2023-0{number}.json") for number in (1, 2))
    models = {node for node in first if node.startswith("model.")}
    views = {f"model.{name}" for name in ("green_tripdata", "yellow_tripdata", "trips", "dates")}
    assert views | {"model.fhv_tripdata", "model.app_trips"} <= models
    of_months = {node for node in models if "zone" in node or "month" in node}
    assert of_months == {"model.taxi_zone_shapes"}  # and no mart
    assert {"seed.taxi_zones", "test.rows_reconcile_green"} <= first
    assert second - {"operation.nyc_tlc-on-run-start-0"} == {
        "model.green_tripdata",
        *(
            f"test.{name}_green"
            for name in ("rows_reconcile", "unusual_values", "official_figures")
        ),
        "test.unique_rows_green_tripdata_unique_row_id",
    }
    assert workspace.query(f"select count(*) from {workspace.prefix}tlc_marts.app_trips") == [(0,)]


def test_a_warning_names_columns_and_the_number_of_their_rows(workspace):
    rows = 50
    path = publish(workspace.source, "green", "2023-01", rows)
    table = pq.read_table(path)
    ordinary = {"trip_distance": 2.5, "fare_amount": 9.5, "tip_amount": 1.0, "tolls_amount": 0.0}
    ordinary |= {"total_amount": 12.0, "RatecodeID": 1, "passenger_count": 1, "payment_type": 1}
    ordinary |= {"DOLocationID": 265}
    odd = {"trip_distance": [2_000.0] * 3, "fare_amount": [-1.0, 2_000.0], "RatecodeID": [7] * 4}
    odd |= {"DOLocationID": [0, 266]}
    for name, value in ordinary.items():
        values = [*odd.get(name, []), *[value] * rows][:rows]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    times = table["lpep_pickup_datetime"].to_pylist()
    place = table.schema.get_field_index("lpep_pickup_datetime")
    field = table.schema.field(place)
    table = table.set_column(place, field, pa.array([None, *times[1:]], field.type))
    pq.write_table(table, path)

    process = run(workspace, "green", "2023-01", "--json", "--keep-raw", **DATA_TESTS)
    (told,) = json.loads(process.stdout)
    assert told["warnings"] == {
        "unusual_values_green": {
            **{"pickup_datetime": 1, "rate_code_id": 4, "dropoff_location_id": 2},
            **{"trip_distance": 3, "fare_amount": 2},
        },
        "official_figures_green": {"file lacks": 2_199 * 31 - rows},
    }
    merge = next(line for line in process.stderr.splitlines() if "  merge  " in line)
    assert re.search(rf"  {rows} rows  .* rows/s  tests: [0-9]+ passed, 2 warned$", merge)
    counts = "pickup_datetime 1, rate_code_id 4, dropoff_location_id 2, trip_distance 3"
    counts += ", fare_amount 2"
    assert f"green 2023-01  warning: unusual values: {counts}\n" in process.stderr

    built = succeeded(workspace.dbt("build", "--vars", "{month: 2023-01}", **DATA_TESTS))
    reported = f"unusual_values_green: rows by column: {counts}"
    assert reported in built.stdout
    assert "WARN 12 unusual_values_green" in built.stdout


PARSES = """
import json, sys
from dbt.cli.main import dbtRunner

def parsed(*options):
    told = dbtRunner().invoke(["--quiet", "--no-partial-parse", "parse", *options]).result.to_dict()
    parts = ("nodes", "sources", "macros", "exposures", "disabled", "unit_tests")
    return json.dumps({name: told[name] for name in parts}, sort_keys=True, default=str)

import re
made = [re.sub(r'"created_at": [0-9.]+', "", parsed(*options)) for options in (
    (), ("--target", "postgres", "--vars", "{dataset: green, month: 2023-01}"))]
print(len(made[0]), made[0] == made[1])
"""


def test_parsing_depends_on_no_variable(workspace):
    """So the loader parses once for all months, and tests lend each other what was parsed."""
    length, are_same = succeeded(workspace.python(PARSES)).stdout.split()
    assert int(length) > 100_000
    assert are_same == "True"


MANY_BUILDS = """
import io, json, sys
from loader.building import worker as dbt_worker

request = json.dumps(["green", "2023-01", "green_tripdata", True, False, False])
sys.stdin = io.StringIO("\\n".join([request] * 3))
dbt_worker.main(["--no-use-colors", "--target", "postgres"])

from dbt.adapters.base import impl
print([flag["name"] for flag in impl.DEFAULT_BASE_BEHAVIOR_FLAGS], file=sys.stderr)
"""


def test_dbt_keeps_nothing_of_a_build_that_slows_the_next(workspace):
    """Each invocation of dbt adds an adapter's flags to a list that it goes through in the next."""
    process = succeeded(workspace.python(MANY_BUILDS))
    names = ast.literal_eval(process.stderr.splitlines()[-1])
    assert len(names) == len(set(names))
