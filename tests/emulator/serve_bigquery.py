"""Starts local-bigquery, the BigQuery emulator, with gaps of its release 0.3.2 closed.

It runs in the emulator's own environment (group `emulator` of pyproject.toml), never in the
project's: no client is patched, and what the tests run is the code that talks to the real service.
"""

import itertools
import json
import re
import sys
import threading
from pathlib import Path

from local_bigquery import cli, errors
from local_bigquery.catalog import metadata, names
from local_bigquery.engine import database
from local_bigquery.jobs import query, runner
from local_bigquery.models import Table
from local_bigquery.sql import dialect, script
from pyarrow import parquet
from rights import refuse_without_rights
from sqlglot import exp

#: Loads of more rows are recorded in part: nobody runs them again.
_MOST_ROWS = 5_000


def report_ctas_target() -> None:
    """Name the new table as the target of a CREATE TABLE … AS SELECT job.

    The service does: dbt reads the job's `configuration.query.destinationTable`, and fails on a job
    without one.
    """
    execute = query.execute

    def execute_naming_target(*args, **kwargs):
        statistics, children, target = execute(*args, **kwargs)
        if target is None and statistics.statementType == "CREATE_TABLE_AS_SELECT":
            target = statistics.ddlTargetTable
        return statistics, children, target

    query.execute = execute_naming_target


def set_from_struct() -> None:
    """Take `set (x) = (select as struct …)`, by which dbt finds the partitions to overwrite."""
    set_variable = script.Interpreter.set

    def set_variable_or_struct(self, statement):
        tree = script.sqlglot.parse_one(statement.text, dialect=script.BigQueryDialect)
        for item in tree.expressions:
            target, value = item.this.this, item.this.expression
            if not isinstance(target, exp.Paren):
                continue
            struct = value.unnest()
            if isinstance(struct, exp.Select):
                struct.set("kind", None)  # the one column of the struct is the value
            self.assign(self.variable(target.this.name), value)
            return
        set_variable(self, statement)

    script.Interpreter.set = set_variable_or_struct


def forget_pandas() -> None:
    """Say at once that there is no pandas.

    DuckDB asks for it with every value that a Python function gets, such as farm_fingerprint, and
    Python would search all its folders each time: that took most of a build.
    """
    sys.modules["pandas"] = None


def keep_tables_in_memory() -> None:
    """Keep a project's tables in memory, in DuckDB itself instead of a DuckLake of files.

    Each statement asks for a dozen snapshots of the lake's catalog, which took half of its time.
    Only travel in time needs a lake.
    """

    def attach(connection, project):
        connection.execute(f"attach if not exists ':memory:' as {database.quote(project)}")
        database._attached.add(project)

    database._attach = attach
    database.projects = lambda: sorted(database._attached)


def expire_partitions() -> None:
    """Keep no rows in partitions that have expired by their table's own setting."""
    statement, load = query._statement, runner.HANDLERS["load"]

    def expire(cur, *names):
        stored = metadata.load(Table, *names)
        partitions = stored and stored.timePartitioning
        if partitions and partitions.expirationMs:
            cur.execute(
                f"delete from {database.quote(*names)}"
                f" where epoch_ms({partitions.field}::timestamp) + {partitions.expirationMs}"
                f" < {metadata.now()}"
            )

    def execute_and_expire(cur, tree, context, *args, **kwargs):
        done = statement(cur, tree, context, *args, **kwargs)
        if isinstance(tree, exp.Insert | exp.Merge):
            table = tree.find(exp.Table)
            expire(cur, *names.reference(table, context.project_id, context.dataset_id))
        return done

    def load_and_expire(cur, config, upload):
        done, table = load(cur, config, upload), config.destinationTable
        expire(cur, table.projectId, table.datasetId, table.tableId)
        return done

    query._statement = execute_and_expire
    runner.HANDLERS["load"] = load_and_expire


def take_geographies_as_valid() -> None:
    """Take `st_geogfromgeojson(…, make_valid => true)`, of shapes that are valid on a plane."""

    def parse(arguments):
        return dialect.macro("st_geogfromgeojson", arguments[0])

    dialect.BigQueryDialect.Parser.FUNCTIONS["ST_GEOGFROMGEOJSON"] = parse


def refuse_dml_without_billing() -> None:
    """Refuse INSERT, UPDATE, DELETE and MERGE in the project `sandbox`, as one without billing."""
    execute = query.execute

    def execute_if_billed(cur, project_id, job_id, config, *args, **kwargs):
        if project_id == "sandbox" and re.search(r"\b(insert|update|delete|merge)\b", config.query):
            raise errors.BigQueryError(
                "accessDenied",
                "Billing has not been enabled for this project. Enable billing at"
                " https://console.cloud.google.com/billing. DML queries are not allowed in the free"
                " tier. Set up a billing account to remove this restriction.",
            )
        return execute(cur, project_id, job_id, config, *args, **kwargs)

    query.execute = execute_if_billed


def bill_queries() -> None:
    """Bill each query the least that the service bills, so that a sum of them can be seen."""
    runner.QUERY_STATISTICS["totalBytesBilled"] = str(10 * 2**20)


def record_jobs(folder: Path) -> None:
    """Write each job to `jobs.jsonl`, for tests that ask Google's own engine (tests/googlesql).

    A query is written as text with its parameters, and the error that it ended with; a load as the
    table, and the file of its content after the load. A job is written when it
    ends, with its number among all starts and ends of jobs, and with that of its end: another may
    have read what its first statement made.
    """
    folder.mkdir()
    jobs, lock = (folder / "jobs.jsonl").open("a"), threading.Lock()
    execute, load, numbers = query.execute, runner.HANDLERS["load"], itertools.count(1)

    def record(**job):
        with lock:
            print(json.dumps(job | {"ended": next(numbers)}), file=jobs, flush=True)

    def execute_recorded(cur, project_id, job_id, config, *args, **kwargs):
        number, error = next(numbers), None
        try:
            return execute(cur, project_id, job_id, config, *args, **kwargs)
        except Exception as raised:
            error = str(raised)
            raise
        finally:
            default = config.defaultDataset
            record(
                number=number,
                sql=config.query,
                parameters=[parameter.dump() for parameter in config.queryParameters or []],
                dataset=default and default.datasetId,
                error=error,
            )

    def load_recorded(cur, config, upload):
        number = next(numbers)
        statistics = load(cur, config, upload)
        table = config.destinationTable
        names = (table.projectId, table.datasetId, table.tableId)
        rows = f"select * from {database.quote(*names)} limit {_MOST_ROWS}"
        file = folder / f"{number}.parquet"
        # DuckDB's own writer takes -0.0 and 0.0 for the same entry of a dictionary.
        parquet.write_table(cur.sql(rows).to_arrow_table(), file, use_dictionary=False)
        record(number=number, table=".".join(names), file=file.name)
        return statistics

    query.execute = execute_recorded
    runner.HANDLERS["load"] = load_recorded


if __name__ == "__main__":
    forget_pandas()
    keep_tables_in_memory()
    report_ctas_target()
    set_from_struct()
    refuse_without_rights()
    expire_partitions()
    take_geographies_as_valid()
    refuse_dml_without_billing()
    bill_queries()
    record_jobs(Path(sys.argv[1]))
    cli.main(sys.argv[2:])
