"""A workspace whose warehouse is the emulator of BigQuery."""

from pathlib import Path

import pyarrow as pa
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from tests.conftest import Workspace, clean_env
from tests.emulator.rig import Rig

#: Callers, by their tokens: see tests/emulator/roles.py.
OWNER, LEAST = "emulator", "least"


class BigQueryWorkspace(Workspace):
    """A workspace on the emulator; the test's own queries are an owner's."""

    def client(self) -> bigquery.Client:
        """Make a client of an owner's."""
        return bigquery.Client(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            credentials=Credentials(token=OWNER),
            client_options={"api_endpoint": self.env["BIGQUERY_EMULATOR_HOST"]},
        )

    def query(self, sql: str, *args) -> list[tuple]:
        """Run a statement and return its rows."""
        return [tuple(row.values()) for row in self.client().query(sql).result()]

    def read(self, query: str, kinds: dict[str, pa.DataType]) -> pa.Table:
        """Run a query and return its rows, with columns of these types."""
        columns = list(zip(*self.query(query), strict=True)) or [()] * len(kinds)
        return pa.table(list(map(pa.array, columns, kinds.values())), names=list(kinds))


def workspace_on(rig: Rig, local_dir: Path, **variables: str) -> BigQueryWorkspace:
    """Make a workspace on the emulators, with the folder for all that its commands keep."""
    env = clean_env(
        **rig.env | variables,
        TLC_LOCAL_DIR=str(local_dir),
        DBT_TARGET_PATH=str(local_dir / "dbt"),
        DBT_LOG_PATH=str(local_dir / "logs"),
    )
    return BigQueryWorkspace(env, local_dir, "")
