"""Connects to the target's warehouse."""

from loader.embedded import local_server
from loader.errors import UsageError
from loader.settings import Settings, install_command
from loader.warehouse.base import Warehouse


def connect_warehouse(settings: Settings) -> Warehouse:
    """Connect to the target's warehouse; the embedded server is started when it is down."""
    if settings.target == "bigquery":
        try:
            from loader.warehouse.bigquery import BigQueryWarehouse
        except ImportError as error:
            raise UsageError(
                f"target bigquery needs packages that are not installed ({error.name}): run"
                f" {install_command('bigquery')}"
            ) from error
        return BigQueryWarehouse(settings)
    from loader.warehouse.postgres import PostgresWarehouse

    if settings.target != "local":
        return PostgresWarehouse(settings)
    local_server.start(settings.local_dir)
    return PostgresWarehouse(settings, local_server.connection_env(settings.local_dir))
