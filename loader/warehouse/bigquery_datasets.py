"""What BigQuery's datasets must be: where the bucket is, and without an expiration."""

from collections.abc import Iterable
from contextlib import suppress

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud.storage import Client as StorageClient  # type: ignore[import-untyped]

from loader.errors import WarehouseError
from loader.warehouse.bigquery_connection import BigQueryConnection, translate_google_errors


def check_locations(connection: BigQueryConnection, schema: str) -> None:
    """Refuse a bucket and a dataset between which BigQuery can't load.

    Raises:
        WarehouseError: when a dataset is elsewhere than BIGQUERY_LOCATION says, or the bucket
            is outside that location.
    """
    with translate_google_errors():
        with suppress(NotFound):  # the first run makes it
            found = connection.client.get_dataset(f"{connection.project}.{schema}").location
            if found.lower() != connection.location.lower():
                raise WarehouseError(
                    f"BigQuery: dataset {schema} is in {found}, and BIGQUERY_LOCATION is"
                    f" {connection.location}: set it to {found}"
                )
        if not connection.bucket:
            return
        name = connection.bucket.removeprefix("gs://").partition("/")[0]
        client = StorageClient(project=connection.project, credentials=connection.credentials)
        try:
            found = client.get_bucket(name).location
        except Forbidden:  # who may write objects need not have the right to see the bucket
            return
        except NotFound as error:
            raise WarehouseError(
                f"TLC_BUCKET={connection.bucket}: there is no such bucket"
            ) from error
    if not _loads_from(found, connection.location):
        raise WarehouseError(
            f"TLC_BUCKET={connection.bucket} is in {found}, and the datasets are in"
            f" {connection.location}: BigQuery loads only from the same location; take another"
            " bucket"
        )


def check_expirations(connection: BigQueryConnection, schemas: Iterable[str]) -> None:
    """Refuse datasets whose tables or partitions expire: old months vanish as they are written.

    Those that were made without billing keep 60 days, and some organisations set years.

    Raises:
        WarehouseError: when a dataset has a default expiration.
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


def _loads_from(bucket: str, datasets: str) -> bool:
    """Return whether datasets of a location can be loaded from a bucket of another.

    A multi-region takes buckets of its regions, too.
    """
    bucket, datasets = bucket.lower(), datasets.lower()
    regions = {"us": "us-", "eu": "europe-"}.get(datasets)
    return bucket == datasets or (regions is not None and bucket.startswith(regions))
