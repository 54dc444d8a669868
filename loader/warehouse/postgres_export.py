"""Reads a query's rows from Postgres in Arrow's types: COPY's CSV, parsed while it comes."""

import os
import threading
from collections.abc import Iterator

import psycopg2
import pyarrow as pa
import pyarrow.csv as pv

_BLOCK_BYTES = 8 << 20


def record_batches(
    connection: psycopg2.extensions.connection, query: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Run a query whose columns are those of the schema; close what is returned, or read it all."""
    reading, writing = os.pipe()
    failures: list[Exception] = []

    def copy() -> None:
        with os.fdopen(writing, "wb") as pipe, connection.cursor() as cursor:
            try:
                cursor.copy_expert(f"copy ({query}) to stdout with (format csv, header)", pipe)
            except Exception as error:  # for the thread that reads
                failures.append(error)

    thread = threading.Thread(target=copy)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as pipe:
            yield from _parsed(pipe, schema)
    except pa.ArrowInvalid:
        thread.join()
        if not failures:  # else the text broke off
            raise
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _parsed(pipe: object, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    converting = pv.ConvertOptions(
        column_types=schema,
        true_values=["t"],
        false_values=["f"],
        # NULL is nothing; text in quotes isn't NULL, even if it is empty.
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    reading = pv.ReadOptions(block_size=_BLOCK_BYTES)
    # A long value may be the whole block, and text may have line breaks.
    parsing = pv.ParseOptions(newlines_in_values=True)
    yield from pv.open_csv(pipe, reading, parsing, converting)
