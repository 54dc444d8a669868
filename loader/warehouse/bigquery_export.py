"""Reads a query's rows from BigQuery in Arrow's types: through the bucket, if there is one."""

import io
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud.storage import Client as StorageClient  # type: ignore[import-untyped]

from loader.warehouse.bigquery_connection import BigQueryConnection, translate_google_errors


def record_batches(
    connection: BigQueryConnection, query: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Run a query whose columns are those of the schema."""
    read = _through_bucket if connection.bucket else _over_api
    with translate_google_errors():
        for table in read(connection, query):
            yield from table.cast(schema).to_batches()


def _over_api(connection: BigQueryConnection, query: str) -> Iterator[pa.Table]:
    for batch in connection.rows(query).to_arrow_iterable():
        yield pa.Table.from_batches([batch])


def _through_bucket(connection: BigQueryConnection, query: str) -> Iterator[pa.Table]:
    """Have BigQuery export the rows, and read its files: many times as fast as its API."""
    place = f"{connection.bucket}/export/{uuid.uuid4().hex}"
    bucket, _, folder = place.removeprefix("gs://").partition("/")
    client = StorageClient(project=connection.project, credentials=connection.credentials)
    try:
        connection.query(
            f"export data options (uri = '{place}/*.parquet', format = 'PARQUET') as {query}"
        )
        # The files of a query in an order have that order, by their names.
        for blob in client.list_blobs(bucket, prefix=f"{folder}/"):
            yield pq.read_table(io.BytesIO(blob.download_as_bytes()))
    finally:
        for blob in client.list_blobs(bucket, prefix=f"{folder}/"):
            blob.delete()
