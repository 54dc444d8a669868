"""dlt into BigQuery: Parquet parts, through a bucket if there is one."""

from typing import Any, cast

import dlt
from dlt.common.destination import Destination
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.destinations.impl.bigquery.bigquery import BigQueryLoadJob

from loader.landing.conform import Conformer
from loader.landing.tlc_trips import conformed_batches
from loader.source.object_store import open_filesystem
from loader.terminal.progress import StageMaker
from loader.warehouse.bigquery import BigQueryWarehouse


def open_bigquery(warehouse: BigQueryWarehouse) -> Destination[Any, Any]:
    """Make dlt's destination, with the credentials that the warehouse has."""
    return dlt.destinations.bigquery(
        credentials=cast(Any, warehouse.token),  # dlt declares a narrower type than it takes
        project_id=warehouse.project,
        location=warehouse.location,
    )


class BigQueryTarget:
    """One month file on its way into a project."""

    def __init__(self, warehouse: BigQueryWarehouse, conformer: Conformer, rows: int) -> None:
        """Make dlt's destination."""
        self._warehouse = warehouse
        self._conformer = conformer
        self._rows = rows
        self.destination = open_bigquery(warehouse)
        self.staging: Destination[Any, Any] | None = None
        if warehouse.bucket:
            self.staging = dlt.destinations.filesystem(
                bucket_url=f"{warehouse.bucket}/staging",
                credentials=warehouse.token,
                warn_unsafe_layout_separators=False,
            )

    def load(
        self, pipeline: dlt.Pipeline, schema: dlt.Schema, stage: StageMaker
    ) -> tuple[str, int, None]:
        """Write the file again, conformed, and have BigQuery load it: see `_Target`."""
        with stage("conform") as conform:
            pipeline.extract(conformed_batches(self._conformer, conform.add), schema=schema)
            pipeline.normalize()
        with stage("load") as load:
            (package,) = pipeline.load().load_packages
            load.set(self._rows)
        jobs = package.jobs["completed_jobs"]
        landed_rows = sum(self._loaded_rows(job.job_file_info) for job in jobs)
        load_id: str = package.load_id
        if bucket := self._warehouse.bucket:
            store = open_filesystem(bucket)
            for part in store.glob(f"{bucket}/staging/{pipeline.dataset_name}/*/{load_id}.*"):
                store.rm_file(part)
        return load_id, landed_rows, None  # the merge itself looks for rows that share their key

    def _loaded_rows(self, part: ParsedLoadJobFileName) -> int:
        """Return the rows that all attempts at a part have loaded.

        An attempt without an answer failed for dlt, but may have succeeded on the service.
        """
        attempts = (part._replace(retry_count=n) for n in range(part.retry_count + 1))
        ids = (BigQueryLoadJob.get_job_id_from_file_path(one.file_name()) for one in attempts)
        return sum(map(self._warehouse.loaded_rows, ids))
