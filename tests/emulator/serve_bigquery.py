"""Starts local-bigquery, the BigQuery emulator, with gaps of its release 0.3.2 closed.

It runs in the emulator's own environment (group `emulator` of pyproject.toml), never in the
project's: no client is patched, and what the tests run is the code that talks to the real service.
"""

import sys

from local_bigquery import cli
from local_bigquery.engine import database
from local_bigquery.jobs import query
from local_bigquery.sql import script
from sqlglot import exp


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


if __name__ == "__main__":
    forget_pandas()
    keep_tables_in_memory()
    report_ctas_target()
    set_from_struct()
    cli.main(sys.argv[1:])
