"""pgAdmin's own program takes the file of servers that compose.yaml gives it."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests import environments

pytestmark = pytest.mark.slow

CONSTRAINTS = Path(__file__).with_name("pgadmin_constraints.txt")


@pytest.fixture(scope="module")
def pgadmin() -> Path:
    """The interpreter of pgAdmin's environment; its packages clash with the project's."""
    folder = PROJECT_DIR / ".local" / "pgadmin-venv"
    return environments.install(folder, sys.executable, CONSTRAINTS)


def test_the_servers_of_compose_are_imported(pgadmin, tmp_path):
    (tmp_path / "config_local.py").write_text(
        f"SERVER_MODE = False\nDATA_DIR = {str(tmp_path / 'data')!r}\n"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    (setup,) = pgadmin.parent.parent.glob("lib/python*/site-packages/pgadmin4/setup.py")
    servers = PROJECT_DIR / "scripts" / "pgadmin.json"
    environments.run([str(pgadmin), str(setup), "setup-db"], env)
    environments.run([str(pgadmin), str(setup), "load-servers", str(servers)], env)

    (declared,) = json.loads(servers.read_text())["Servers"].values()
    with sqlite3.connect(tmp_path / "data" / "pgadmin4.db") as database:
        found = database.execute(
            "select name, host, port, maintenance_db, username, connection_params from server"
        ).fetchall()
    database.close()
    ((*of_server, parameters),) = found
    names = ("Name", "Host", "Port", "MaintenanceDB", "Username")
    assert of_server == [declared[name] for name in names]
    assert json.loads(parameters) == {
        "passfile": declared["PassFile"],
        "sslmode": declared["SSLMode"],
    }
