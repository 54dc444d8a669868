"""The dlt source of TLC's trips, and the resources that the loader itself lands.

`tlc_trips` loads months into any of dlt's destinations: docs/dlt.md has an example.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from tempfile import NamedTemporaryFile
from typing import Any

import dlt
import pyarrow as pa
from dlt.common import logger
from dlt.common.schema.typing import TColumnSchema
from dlt.common.schema.utils import new_table
from dlt.extract import DltResource

from loader.calendar import Month, parse_month
from loader.datasets import (
    Column,
    check_supported,
    datasets,
    get_dataset,
    record_columns,
    record_tables,
)
from loader.errors import LoaderError
from loader.landing.conform import Conformer
from loader.landing.zones import open_grid
from loader.settings import TLC_CDN, Settings, load_settings
from loader.source import discover, download, figures
from loader.source.whole import Version

#: The contract's types as dlt's column hints. Times are naive: New York wall clock.
_HINTS: dict[str, TColumnSchema] = {
    "smallint": {"data_type": "bigint", "precision": 16},
    "integer": {"data_type": "bigint", "precision": 32},
    "bigint": {"data_type": "bigint"},
    "double": {"data_type": "double"},
    "text": {"data_type": "text"},
    "timestamp": {"data_type": "timestamp", "timezone": False},
    "date": {"data_type": "date"},
}


@dlt.source(name="nyc_tlc")
def tlc_trips(dataset: str, months: Sequence[str], source: str | None = None) -> DltResource:
    """Read months of a dataset, cast and named by the contract.

    A month that was loaded before is replaced: dlt merges by `_file_month`, with its strategy
    delete-insert. Files are downloaded to TLC_LOCAL_DIR, and checked.

    Args:
        dataset: green, yellow, …
        months: file months, YYYY-MM.
        source: base URL, folder or bucket; default TLC_SOURCE, and TLC's CDN.

    Returns:
        A resource of Arrow batches, named after the table: `green_tripdata`, …

    Raises:
        UsageError: when there is no such dataset or month.
    """
    settings = load_settings(source=source)
    contract = get_dataset(dataset)
    file_months = [parse_month(text) for text in months]
    for month in file_months:
        check_supported(dataset, month)

    def batches() -> Iterator[pa.RecordBatch]:
        if any(map(contract.needs_shapes, file_months)):
            _keep_shapes(settings)
        for month in file_months:
            published = discover.require(settings.source, dataset, month)
            file = download.fetch(published, settings.local_dir / "downloads")
            zones = open_grid(settings, Month(dataset, month))
            yield from _one_ahead(Conformer(dataset, month, file.path, zones).batches())

    return dlt.resource(
        batches,
        name=contract.table,
        columns=[_hint(column) for column in contract.columns if column.name != "_dlt_load_id"],
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        merge_key="_file_month",
    )


def _keep_shapes(settings: Settings) -> None:
    from loader.source.shapes import zone_shapes

    try:
        zone_shapes(settings)
    except LoaderError as error:
        logger.warning(f"{error}; trips with coordinates come without zones")


def raw_schema(conformer: Conformer | None = None) -> dlt.Schema:
    """Make the dlt schema of all raw tables: the contract's, and what a file has besides."""
    schema = dlt.Schema("nyc_tlc")
    for name in record_tables():
        columns = [_hint(column) for column in record_columns(name)]
        schema.update_table(new_table(name, write_disposition="append", columns=columns))
    # BigQuery's partitions and clusters; Postgres' are made in postgres_copy.py.
    hints = {
        "x-bigquery-partition": {"_file_month": "DATE_TRUNC({column_name}, MONTH)"},
        "x-bigquery-cluster-columns": ["_dlt_load_id"],
    }
    for dataset in datasets().values():
        columns = [_hint(column) for column in dataset.columns]
        if conformer and dataset == conformer.contract:
            columns += [{"name": name, **_HINTS["text"]} for name in conformer.unknown]
        table = new_table(dataset.table, write_disposition="append", columns=columns)
        table.update(hints)  # type: ignore[typeddict-item]  # dlt's type lacks hints
        schema.update_table(table)
    # Written to storage and read back, as dlt wants a schema before it makes tables of it.
    return dlt.Schema.from_dict(dict(schema.to_dict()))


@dlt.source(name="nyc_tlc_figures")
def tlc_figures(source: str = TLC_CDN) -> Iterator[DltResource]:
    """Read what TLC itself counted: a resource for each report, and one of the list of bases.

    Args:
        source: a report, or the base URL, folder or bucket of copies; default TLC's own.
    """
    versions: dict[str, list[Version]] = {}
    for found in map(figures.read, figures.addresses(source)):
        if found:
            versions.setdefault(found.resource, []).append(found)
    yield from map(resource_of, versions.values())


def resource_of(versions: Sequence[Version]) -> DltResource:
    """Make a resource of versions of one file: their rows land now, and take none away."""
    table = versions[0].table
    columns = [column for column in record_columns(table) if column.name != "_dlt_load_id"]
    schema = pa.schema([(column.name, column.arrow_type) for column in columns])
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    rows = [{**row, "landed_at": now} for version in versions for row in version.rows()]
    return dlt.resource(
        [pa.Table.from_pylist(rows, schema)],
        name=versions[0].resource,
        table_name=table,
        columns=list(map(_hint, columns)),
        write_disposition="append",
    )


def file_reference(conformer: Conformer, rows: int) -> DltResource:
    """Make the resource of one month file that the destination reads and conforms itself.

    It is a line of JSON, for dlt would rewrite an imported Parquet file whose columns it would
    name otherwise. The number of rows is for dlt's trace.
    """

    def reference() -> Iterator[Any]:
        with NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.write(json.dumps({"path": str(conformer.path.resolve())}))
            file.flush()
            yield dlt.mark.with_file_import(file.name, "jsonl", rows)

    return dlt.resource(reference, name=conformer.contract.table, write_disposition="append")


def conformed_batches(conformer: Conformer, on_rows: Callable[[int], None]) -> DltResource:
    """Make the resource of one month file that dlt writes again, conformed.

    Args:
        on_rows: called with the number of rows of each batch.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in _one_ahead(conformer.batches()):
            yield batch
            on_rows(batch.num_rows)

    table = conformer.contract.table
    return dlt.resource(batches, name=table, write_disposition="append", file_format="parquet")


def _one_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read and cast the next batch while dlt writes this one: Arrow lets go of the GIL in both."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _hint(column: Column) -> TColumnSchema:
    return {"name": column.name, **_HINTS[column.data_type]}
