"""The warehouse in BigQuery."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import pyarrow as pa
from google.api_core.exceptions import NotFound

from loader.calendar import Month, next_month
from loader.datasets import get_dataset
from loader.errors import WarehouseError
from loader.settings import Settings
from loader.terminal.progress import Reporter
from loader.warehouse.base import PROJECT, Warehouse
from loader.warehouse.bigquery_connection import translate_google_errors
from loader.warehouse.bigquery_datasets import check_bucket, check_dataset, check_expirations
from loader.warehouse.bigquery_export import record_batches
from loader.warehouse.bigquery_locks import BigQueryLocks
from loader.warehouse.versions import FileVersion, require_all_rows


class BigQueryWarehouse(BigQueryLocks, Warehouse):
    """The schemas of a Google Cloud project."""

    def __init__(self, settings: Settings) -> None:
        """Connect."""
        super().__init__(settings)
        self._final, self._marts = settings.schema, settings.marts_schema
        self._schemas = self._raw, *settings.built_schemas

    def check(self, work: str) -> str:
        # Google reports rights only by refusing, and a project without billing refuses only DML.
        dml = "create temp table probe (n int64); insert into probe (n) values (1)"
        looks: list[Callable[[], object]] = [lambda: self.query(dml)]
        looks += [partial(check_dataset, self, schema) for schema in self._schemas]
        looks.append(partial(check_bucket, self))
        missing: dict[str, None] = {}
        for look in looks:
            try:
                look()
            except WarehouseError as error:
                missing[str(error).removeprefix("BigQuery: ")] = None
        if missing:
            raise WarehouseError(f"BigQuery: {'; '.join(missing)}")
        through = f", through {self.bucket}" if self.bucket else ", loads go straight"
        return f"BigQuery project {self.project} in {self.location}{through}"

    def lock(self, month: Month, reporter: Reporter) -> AbstractContextManager[None]:
        check_expirations(self, self._schemas)  # first of all: a month is about to be written
        self.labels = {"dataset": month.dataset, "month": month.text}
        return self.lease(month.label)

    def build_lock(
        self, reporter: Reporter, months: Collection[Month] = ()
    ) -> AbstractContextManager[None]:
        # Months are built side by side, but for those of one file month: the datasets share its
        # partition of the marts. A build of all is alone: dbt drops a seed before it loads it.
        texts = [month.text for month in months]
        return self.turn(
            " ".join(["build", *texts]),
            f"build|build .*({'|'.join(texts)}).*" if texts else "build.*",
            lambda: reporter.say("waiting for another run's dbt build in this warehouse to end"),
        )

    def schema_lock(self) -> AbstractContextManager[None]:
        return self.turn("schema")

    def has_raw_columns(self, columns: Mapping[str, Collection[str]]) -> bool:
        with translate_google_errors(), suppress(NotFound):
            tables = {one.table_id: one for one in self.client.list_tables(self._raw)}
            return tables.keys() >= columns.keys() and all(
                {field.name for field in self.client.get_table(tables[name]).schema} >= set(wanted)
                for name, wanted in columns.items()
                if wanted
            )
        return False

    def discard_unfinished(self, month: Month) -> None:
        self.query(
            f"""
            delete from {self._raw_table(month.dataset)}
            where _file_month = @month and _dlt_load_id not in (
                select load_id from {self.table(self._raw, "month_files")}
                where dataset = @dataset and file_month = @month and raw_dropped_at is null
            )
            """,
            **month._asdict(),
        )

    def loaded_rows(self, job_id: str) -> int:
        """Return the rows that a load job has written; 0 when there is no such job."""
        with translate_google_errors(), suppress(NotFound):
            job = self.client.get_job(job_id, location=self.location)
            return getattr(job, "output_rows", None) or 0
        return 0

    def commit_landing(self, landed: FileVersion) -> None:
        require_all_rows(landed, landed.landed_rows)
        raw, month_files = self._raw_table(landed.dataset), self.table(self._raw, "month_files")
        has_rows = "dataset = @dataset and file_month = @file_month and raw_dropped_at is null"
        # Rows are seen through month_files only: this is what makes them visible.
        self._record(
            landed,
            f"""
            if exists (select 1 from {month_files} where {has_rows}) then
                delete from {raw} where _file_month = @file_month and _dlt_load_id != @load_id;
                update {month_files} set raw_dropped_at = current_timestamp() where {has_rows};
            end if;
            """,
        )

    def update_record(self, landed: FileVersion) -> None:
        self._record(landed, "")

    def _record(self, landed: FileVersion, before: str) -> None:
        """Write the record of a version; it replaces a record of the same bytes."""
        month_files = self.table(self._raw, "month_files")
        is_same = "dataset = @dataset and file_month = @file_month and sha256 = @sha256"
        values = landed.month_files_row()
        # A transaction that only inserts is not aborted because of another.
        self.query(
            f"""
            begin transaction;
            {before}
            if exists (select 1 from {month_files} where {is_same}) then
                delete from {month_files} where {is_same};
            end if;
            insert into {month_files} ({", ".join(values)})
            values ({", ".join(f"@{name}" for name in values)});
            commit transaction;
            """,
            **values,
        )

    def drop_raw(self, month: Month) -> None:
        # A DELETE of a whole partition, outside a transaction, reads nothing. The record comes
        # last: after a kill in between, the next run finds that it is missing.
        self.query(
            f"""
            delete from {self._raw_table(month.dataset)}
            where _file_month >= @month and _file_month < @next_month;
            update {self.table(self._raw, "month_files")}
            set raw_dropped_at = current_timestamp()
            where dataset = @dataset and file_month = @month and raw_dropped_at is null;
            """,
            **month._asdict(),
            next_month=next_month(month.month),
        )

    def read(self, query: str) -> list[dict[str, Any]]:
        return self.query_if_there(self._in_schemas(query))

    def record_batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        yield from record_batches(self, self._in_schemas(query), schema)

    def _in_schemas(self, query: str) -> str:
        schemas = {"tlc": self._final, "marts": self._marts}
        names = {name: f"`{self.project}`.{one}" for name, one in schemas.items()}
        return query.format(**names, geojson="st_asgeojson(geometry) as geometry")

    def ask(self, query: str, most: int) -> list[dict[str, Any]]:
        return self.query(query)[:most]

    def built_project(self, relations: Sequence[str]) -> str | None:
        rows = self.rows_if_there(self._raw, PROJECT)
        missing = set(relations)
        with translate_google_errors():
            for schema in {name.partition(".")[0] for name in relations} if rows else ():
                with suppress(NotFound):
                    tables = self.client.list_tables(f"{self.project}.{schema}")
                    missing -= {f"{schema}.{table.table_id}" for table in tables}
        return rows[0]["fingerprint"] if rows and not missing else None

    def record_project(self, fingerprint: str) -> None:
        self.query(
            f"create or replace table {self.table(self._raw, PROJECT)} as"
            " select @fingerprint as fingerprint, current_timestamp() as built_at",
            fingerprint=fingerprint,
        )

    def has_raw_rows(self, month: Month) -> bool:
        rows = self.query_if_there(
            f"select 1 from {self._raw_table(month.dataset)} where _file_month = @month limit 1",
            month=month.month,
        )
        return bool(rows)

    def stored_months(self) -> None:
        """Return None: a count by month would read a column of all history."""

    def table_rows(self, month: Month) -> int:
        table = self.table(self._final, get_dataset(month.dataset).table)
        (row,) = self.query(
            f"select count(*) as n from {table} where file_month = @month", month=month.month
        )
        return row["n"]

    def _raw_table(self, dataset: str) -> str:
        return self.table(self._raw, get_dataset(dataset).table)
