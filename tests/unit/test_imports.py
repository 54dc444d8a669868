"""The picture of imports: folders by the way of the data, no circle, nothing upwards."""

import ast
import functools
from graphlib import TopologicalSorter

from loader.settings import PROJECT_DIR

LOADER = PROJECT_DIR / "loader"
#: Each may import those before it; "" is what has no folder, but for `run` and `__main__`. What a
#: folder is for: docs/how-it-works.md.
FLOORS = [
    *("", "terminal", "source", "embedded", "warehouse", "months", "landing", "building", "run"),
    *("report", "cli", "__main__"),
]


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return the modules of the package that each one imports."""
    paths = {
        ".".join(path.relative_to(PROJECT_DIR).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in LOADER.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        named = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("loader"):
                named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
        found[name] = {module for module in named if module in paths} - {"loader", name}
    return found


def floor(module: str) -> int:
    part = module.removeprefix("loader").removeprefix(".").partition(".")[0]
    return FLOORS.index(part if part in FLOORS else "")


def test_nothing_imports_upwards_and_there_is_no_circle():
    graph = {name: modules for name, modules in imports().items() if ".sample" not in name}
    upwards = {
        (name, module)
        for name, modules in graph.items()
        for module in modules
        if floor(module) > floor(name)
    }
    assert upwards == set()
    TopologicalSorter(graph).prepare()  # raises a CycleError


def test_rooms_are_at_most_eight_floors_high_with_at_most_seventy_five_arrows_between():
    """A room is a folder, or a module that has none."""
    rooms: dict[str, set[str]] = {}
    for name, modules in imports().items():
        if name != "loader" and ".sample" not in name:
            room = name.split(".")[1]
            rooms.setdefault(room, set()).update({one.split(".")[1] for one in modules} - {room})
    sorter = TopologicalSorter(rooms)
    sorter.prepare()
    floors = 0
    while sorter.is_active():
        sorter.done(*sorter.get_ready())
        floors += 1
    assert floors <= 8
    assert sum(map(len, rooms.values())) <= 75


def test_only_landing_knows_dlt():
    knowing = {
        str(path.relative_to(LOADER))
        for path in LOADER.rglob("*.py")
        if any(line.lstrip().startswith(("import dlt", "from dlt")) for line in path.open())
    }
    assert knowing
    assert {name.partition("/")[0] for name in knowing} == {"landing"}


def test_the_warehouse_knows_nothing_of_files_and_pipelines():
    of_warehouse = [modules for name, modules in imports().items() if ".warehouse." in name]
    known = set().union(*of_warehouse)
    assert [name for name in known if name.startswith(("loader.source", "loader.landing"))] == []
