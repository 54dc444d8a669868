"""What the dlt pipeline needs of a warehouse, besides SQL."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import dlt
from dlt.common.destination import Destination

from loader.landing.conform import Conformer
from loader.progress import Stage
from loader.settings import Settings

#: Begins a stage of work on the month, by its name.
StageMaker = Callable[[str], AbstractContextManager[Stage]]


class Target(Protocol):
    """One month file on its way into a warehouse.

    Attributes:
        destination: dlt's destination.
        staging: dlt's staging destination, if loads go through one.
        shared_rows: rows of the file that may share their key, after the load; None if nobody
            looked, or if they are too many.
    """

    destination: Destination[Any, Any]
    staging: Destination[Any, Any] | None
    shared_rows: list[int] | None

    def load(self, pipeline: dlt.Pipeline, schema: dlt.Schema, stage: StageMaker) -> str:
        """Load the file in the way that is fastest here.

        Args:
            pipeline: the dlt pipeline.
            schema: the raw tables.
            stage: begins a stage, to be told of rows.

        Returns:
            The id of the load package.
        """


def open_target(settings: Settings, warehouse: Any, conformer: Conformer, rows: int) -> Target:
    """Choose how to load into the target's warehouse.

    Args:
        settings: the settings, with the target.
        warehouse: the warehouse.
        conformer: the month file and how it maps to its raw table.
        rows: rows of the file.
    """
    if settings.target == "bigquery":
        from loader.landing.bigquery_load import BigQueryTarget

        return BigQueryTarget(warehouse, conformer, rows)
    from loader.landing.postgres_copy import PostgresTarget

    return PostgresTarget(warehouse, conformer, rows)
