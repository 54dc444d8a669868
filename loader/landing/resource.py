"""The dlt source: a month file as one resource, by reference or in conformed batches."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import NamedTemporaryFile
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema
from dlt.common.schema.utils import new_table

from loader.datasets import datasets, month_files_columns
from loader.landing.conform import Conformer

#: The contract's types as dlt's column hints. Times are naive: New York wall clock.
_HINTS: dict[str, TColumnSchema] = {
    "integer": {"data_type": "bigint", "precision": 32},
    "bigint": {"data_type": "bigint"},
    "double": {"data_type": "double"},
    "text": {"data_type": "text"},
    "timestamp": {"data_type": "timestamp", "timezone": False},
    "date": {"data_type": "date"},
}


def raw_schema(conformer: Conformer) -> dlt.Schema:
    """Make the dlt schema of the raw tables: the contract's, and what a file has besides.

    Args:
        conformer: the month file that is going to land.

    Returns:
        A schema with every raw table.
    """
    schema = dlt.Schema("nyc_tlc")
    record = [_hint(column.name, column.data_type) for column in month_files_columns()]
    schema.update_table(new_table("month_files", write_disposition="append", columns=record))
    # BigQuery's partitions and clusters; Postgres' are made in destination.py.
    hints = {
        "x-bigquery-partition": {"_file_month": "DATE_TRUNC({column_name}, MONTH)"},
        "x-bigquery-cluster-columns": ["_dlt_load_id"],
    }
    for dataset in datasets().values():
        columns = [_hint(column.name, column.data_type) for column in dataset.columns]
        if dataset == conformer.contract:
            columns += [_hint(name, "text") for name in conformer.unknown]
        table = new_table(dataset.table, write_disposition="append", columns=columns)
        table.update(hints)  # type: ignore[typeddict-item]  # dlt's type lacks hints
        schema.update_table(table)
    # Written to storage and read back, as dlt wants a schema before it makes tables of it.
    return dlt.Schema.from_dict(dict(schema.to_dict()))


def file_reference(conformer: Conformer, rows: int) -> dlt.sources.DltResource:
    """Make the resource of one month file that the destination reads and conforms itself.

    Args:
        conformer: the month file and how it maps to its raw table.
        rows: rows of the file, for dlt's trace.

    Returns:
        A resource that yields a line of JSON for the dataset's raw table: what makes a `Conformer`.
    """

    def reference() -> Iterator[Any]:
        with NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.write(
                json.dumps(
                    {
                        "dataset": conformer.dataset,
                        "month": conformer.month.isoformat(),
                        "path": str(conformer.path.resolve()),
                    }
                )
            )
            file.flush()
            yield dlt.mark.with_file_import(file.name, "jsonl", rows)

    return dlt.resource(reference, name=conformer.contract.table, write_disposition="append")


def conformed_batches(conformer: Conformer) -> dlt.sources.DltResource:
    """Make the resource of one month file that dlt writes anew, conformed.

    Args:
        conformer: the month file and how it maps to its raw table.

    Returns:
        A resource that yields Arrow batches for the dataset's raw table.
    """
    return dlt.resource(
        _one_ahead(conformer.batches()),
        name=conformer.contract.table,
        write_disposition="append",
        file_format="parquet",
    )


def _one_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read and cast the next batch while dlt writes this one: Arrow lets go of the GIL in both."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _hint(name: str, data_type: str) -> TColumnSchema:
    return {"name": name, **_HINTS[data_type]}
