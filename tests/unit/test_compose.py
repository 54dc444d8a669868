"""compose.yaml: what its parts say of each other; no container runs here."""

import json
import subprocess
import sys
from shutil import copyfile, copytree
from zipfile import ZipFile

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


def test_the_image_gets_all_that_the_package_is_made_of(tmp_path):
    lines = (PROJECT_DIR / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        path, copy = PROJECT_DIR / name, tmp_path / "context" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copytree(path, copy) if path.is_dir() else copyfile(path, copy)

    def files_of_wheel(folder):
        out = tmp_path / folder.name
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out]
        subprocess.run(build, cwd=folder, check=True, capture_output=True)
        (wheel,) = out.glob("*.whl")
        return {name for name in ZipFile(wheel).namelist() if "__pycache__" not in name}

    of_checkout = files_of_wheel(PROJECT_DIR)
    assert "loader/project/dbt_project.yml" in of_checkout
    assert files_of_wheel(tmp_path / "context") == of_checkout


def test_the_loader_keeps_its_files_where_the_image_says():
    dockerfile = (PROJECT_DIR / "scripts" / "Dockerfile").read_text()
    (volume,) = COMPOSE["services"]["loader"]["volumes"]
    assert f"ENV TLC_LOCAL_DIR={volume.partition(':')[2]} " in dockerfile
