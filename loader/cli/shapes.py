"""Lands TLC's shapes of its zones: for shapes and sync, and for months that need them."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from loader.building.runner import build_official
from loader.calendar import Month
from loader.cli.options import Session
from loader.datasets import get_dataset
from loader.errors import LoaderError
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count
from loader.warehouse.base import Warehouse

if TYPE_CHECKING:
    from loader.source.shapes import Shapes


def land_shapes(context: Session) -> bool:
    """Land the shapes, unless the newest version is here; return whether one landed.

    Raises:
        LoaderError: when they can't be had, or can't land.
    """
    from loader.source import shapes

    return _land(context, shapes.fetch(context.settings))


def land_shapes_for(context: Session, months: Collection[Month]) -> None:
    """Land the shapes if trips of these months have coordinates; say it if that fails.

    Those that have landed before stay: to look for newer ones is for `land_shapes`.
    """
    if found := get_shapes_for(context, months):
        try:
            if not _landed(context.warehouse):
                _land(context, found)
        except LoaderError as error:
            context.reporter.say(
                f"TLC's zone shapes  warning: {error}; the trips get their zones all the same"
            )


def get_shapes_for(context: Session, months: Collection[Month]) -> "Shapes | None":
    """Get the shapes if trips of these months have coordinates; say it if they can't be had.

    Those that are kept on this machine are taken without a request.
    """
    if not any(get_dataset(one.dataset).needs_shapes(one.month) for one in months):
        return None
    from loader.source import shapes

    try:
        return shapes.kept(context.settings) or shapes.fetch(context.settings)
    except LoaderError as error:
        context.reporter.say(
            f"TLC's zone shapes  warning: {error}; trips with coordinates land without zones: to"
            f" have them, run {nyc_tlc('shapes')} later, and then the months with --force"
        )
        return None


def _land(context: Session, found: "Shapes") -> bool:
    settings, warehouse, reporter = context.settings, context.warehouse, context.reporter
    if found.sha256 in _landed(warehouse):
        return False
    from loader.landing.pipeline import load_versions  # dlt, which takes its time to import
    from loader.source import shapes

    with warehouse.build_lock(reporter):
        load_versions(settings, warehouse, [found], reporter)
        if found.sha256 not in _landed(warehouse):  # the view is older than the rows' table
            build_official(settings, found.table)
    read = _counted(found.records, len(found.zones))
    known = _counted(shapes.KNOWN_RECORDS, shapes.KNOWN_ZONES)
    reporter.say(f"TLC's zone shapes  landed: {read}")
    if read != known:
        reporter.say(f"TLC's zone shapes  warning: TLC's file has had {known}; look at it")
    return True


def _counted(records: int, zones: int) -> str:
    return f"{count(records, 'record')} of {count(zones, 'zone')}"


def _landed(warehouse: Warehouse) -> set[str]:
    rows = warehouse.read("select distinct sha256 from {tlc}.taxi_zone_shapes")
    return {row["sha256"] for row in rows}
