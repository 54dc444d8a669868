"""compose.yaml: what its parts say of each other; no container runs here."""

import json
import re

import yaml

from loader.settings import PROJECT_DIR

COMPOSE = yaml.safe_load((PROJECT_DIR / "compose.yaml").read_text())


def test_pgadmin_connects_to_the_server_of_the_loader():
    services = COMPOSE["services"]
    (server,) = json.loads((PROJECT_DIR / "scripts/pgadmin.json").read_text())["Servers"].values()
    loader, postgres = services["loader"]["environment"], services["postgres"]["environment"]
    assert server["Host"] == loader["PGHOST"] == "postgres"
    assert str(server["Port"]) == loader["PGPORT"]
    assert server["Username"] == loader["PGUSER"] == postgres["POSTGRES_USER"]
    assert server["MaintenanceDB"] == loader["PGDATABASE"] == postgres["POSTGRES_DB"]
    written = services["pgadmin"]["entrypoint"][-1]
    line = f"postgres:5432:*:{server['Username']}:$$PGADMIN_DEFAULT_PASSWORD"
    assert f'echo "{line}" > {server["PassFile"]}' in written
    assert (
        postgres["POSTGRES_PASSWORD"]
        == services["pgadmin"]["environment"]["PGADMIN_DEFAULT_PASSWORD"]
    )


def test_ports_are_open_on_this_machine_only():
    for service in COMPOSE["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_what_is_mounted_and_copied_is_there():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            name = volume.partition(":")[0]
            assert (
                name in COMPOSE["volumes"]
                or name.startswith("/var/run/")
                or ((PROJECT_DIR / name).exists())
            )
    dockerfile = (PROJECT_DIR / "scripts" / "Dockerfile").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M):
        for name in copied.split():
            assert (PROJECT_DIR / name).exists(), name
