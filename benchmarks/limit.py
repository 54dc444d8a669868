"""The limit: what Postgres itself takes for a month's rows that are ready and typed."""

from pathlib import Path

from benchmarks.server import BenchmarkError, Server


class Limit:
    """A binary file of ready-made rows, and the three things that Postgres can do with it."""

    def __init__(self, server: Server, month_table: str, row_id: str) -> None:
        """Write the file, of a month that dbt built; `row_id` is SQL."""
        self._server = server
        self._row_id = row_id
        self._file = server.data_dir / "ready.copy"
        # All columns of the trips but the id, the row's place in the file included.
        columns = server.scalar(
            "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and attname <> 'unique_row_id'",
            month_table,
        )
        rows = f"select {columns} from {month_table}"
        server.execute("create schema limits")
        server.execute(f"create table limits.shape as {rows} with no data")
        server.execute(f"copy ({rows}) to '{self._file}' (format binary)")

    def measure(self) -> dict[str, float]:
        """Copy the rows into a plain logged table, and make two tables of that one.

        Returns:
            Seconds of `copy` (COPY into a table that is there, as anybody would), `copy_frozen`
            (into one that the same transaction made, which spares the server the WAL, and the
            scan after it the hint bits: as our parts are landed), `ctas` (create table as
            select *) and `ctas_id` (and with our id).
        """
        run = self._server.timed
        self._server.execute("create table limits.plain (like limits.shape)")
        seconds = {
            "copy": run(f"copy limits.plain from '{self._file}' (format binary)"),
            "copy_frozen": run(
                "begin; create table limits.landed (like limits.shape);"
                f" copy limits.landed from '{self._file}' (format binary, freeze); commit"
            ),
            "ctas": run("create table limits.copied as select * from limits.landed"),
            "ctas_id": run(
                "create table limits.identified as"
                f" select {self._row_id} as unique_row_id, * from limits.landed"
            ),
        }
        self._server.execute(
            "drop table limits.plain, limits.landed, limits.copied, limits.identified"
        )
        return {name: round(measured.seconds, 4) for name, measured in seconds.items()}


def compiled_row_id(server: Server, source: Path, dataset: str = "yellow") -> str:
    """Have dbt compile the project's own row id, so that the limit computes the same.

    Something has landed by then; the result is SQL over the columns of the trips.
    """
    sql = f"{{{{ row_id(row_key('{dataset}'), '1') }}}}"
    process = server.timed_project(
        *("-m", "dbt.cli.main", "--quiet", "--no-use-colors", "compile", "--inline", sql),
        source=source,
    )
    if "md5" not in process.output:
        raise BenchmarkError(f"dbt compile gave no row id: {process.output}")
    return process.output.strip()
