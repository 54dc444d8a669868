"""What BigQuery's datasets must be: where the bucket is, and without an expiration."""

from collections.abc import Iterable
from contextlib import suppress

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud.bigquery.table import TableListItem
from google.cloud.storage import Client as StorageClient  # type: ignore[import-untyped]

from loader.errors import WarehouseError
from loader.warehouse.bigquery_connection import BigQueryConnection, translate_google_errors

#: Columns by which tables of months are partitioned, and tables of records that are not.
_MONTHS = ("file_month", "_file_month")
_RECORDS = ("month_files", "file_ledger", "marts_ledger")


def check_dataset(connection: BigQueryConnection, schema: str) -> None:
    """Refuse a dataset that the loader can't use, or can't make."""
    name = f"{connection.project}.{schema}"
    found = None
    with translate_google_errors(), suppress(NotFound):
        found = connection.client.get_dataset(name).location
    if found is None:  # the first run makes it
        connection.dry_run(f"create schema `{name}`")
        return
    if found.lower() != connection.location.lower():
        raise WarehouseError(
            f"BigQuery: dataset {schema} is in {found}, and BIGQUERY_LOCATION is"
            f" {connection.location}: set it to {found}"
        )
    check_expirations(connection, [schema])
    connection.dry_run(f"create table if not exists `{name}._probe` (n int64)")


def check_bucket(connection: BigQueryConnection) -> None:
    """Refuse a bucket that BigQuery can't load from into the datasets, or that we can't fill."""
    if not connection.bucket:
        return
    name = connection.bucket.removeprefix("gs://").partition("/")[0]
    with translate_google_errors():
        client = StorageClient(project=connection.project, credentials=connection.credentials)
        try:
            next(iter(client.list_blobs(name, max_results=1)), None)
            found = client.get_bucket(name).location
        except Forbidden as error:
            if "storage.objects" not in str(error):
                return  # who may write objects need not have the right to see the bucket
            raise WarehouseError(
                f"TLC_BUCKET={connection.bucket}: you may not write there; its owner can allow it:"
                f" gcloud storage buckets add-iam-policy-binding gs://{name} --member=user:YOU"
                " --role=roles/storage.objectAdmin"
            ) from error
        except NotFound as error:
            raise WarehouseError(
                f"TLC_BUCKET={connection.bucket}: there is no such bucket: gcloud storage buckets"
                f" create gs://{name} --location={connection.location}"
            ) from error
    if not _loads_from(found, connection.location):
        raise WarehouseError(
            f"TLC_BUCKET={connection.bucket} is in {found}, and the datasets are in"
            f" {connection.location}: BigQuery loads only from the same location; take another"
            " bucket"
        )


def check_expirations(connection: BigQueryConnection, schemas: Iterable[str]) -> None:
    """Refuse datasets and tables that expire: old months vanish as they are written.

    Those that were made without billing keep 60 days, and some organisations set years.
    """
    for schema in schemas:
        name = f"{connection.project}.{schema}"
        with translate_google_errors(), suppress(NotFound):
            dataset = connection.client.get_dataset(name)
            if dataset.default_partition_expiration_ms or dataset.default_table_expiration_ms:
                raise WarehouseError(
                    f"BigQuery: tables or partitions of dataset {schema} expire, so that old months"
                    " vanish as they are written; remove that first, in BigQuery:"
                    f" alter schema `{name}` set options (default_partition_expiration_days = null,"
                    " default_table_expiration_days = null)"
                )
            for table in connection.client.list_tables(name):
                _check_table(table)


def _check_table(table: TableListItem) -> None:
    partitions = table.time_partitioning
    is_of_months = partitions and partitions.field in _MONTHS and "__dbt_tmp" not in table.table_id
    if not is_of_months and table.table_id not in _RECORDS:
        return  # a user's own, or what dbt needs for a moment
    expires = {
        "expiration_timestamp": table.expires,
        "partition_expiration_days": partitions and partitions.expiration_ms,
    }
    options = ", ".join(f"{option} = null" for option, value in expires.items() if value)
    if options:
        raise WarehouseError(
            f"BigQuery: {table.dataset_id}.{table.table_id} expires, or its partitions do, so that"
            " old months vanish; remove that first, in BigQuery:"
            f" alter table `{table.full_table_id.replace(':', '.')}` set options ({options})"
        )


def _loads_from(bucket: str, datasets: str) -> bool:
    """Return whether datasets of a location can be loaded from a bucket of another.

    A multi-region takes buckets of its regions, too.
    """
    bucket, datasets = bucket.lower(), datasets.lower()
    regions = {"us": "us-", "eu": "europe-"}.get(datasets)
    return bucket == datasets or (regions is not None and bucket.startswith(regions))
