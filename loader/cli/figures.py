"""Lands what TLC itself counted, for the commands figures and sync."""

from loader.building.runner import build_official
from loader.errors import FileRefusedError, LoaderError, NotPublishedError, SourceError
from loader.settings import TLC_CDN, Settings
from loader.source import figures
from loader.source.figures import Vintage
from loader.source.published import redact
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse


def land_figures(
    settings: Settings, warehouse: Warehouse, reporter: Reporter, source: str
) -> tuple[list[Vintage], list[LoaderError]]:
    """Land the reports of TLC's own counts that aren't here yet.

    Args:
        source: as of `figures.addresses`.

    Returns:
        The reports that landed, and what kept others from it.
    """
    found, errors = _read_new(warehouse, reporter, source)
    if found:
        # dlt, which takes its time to import
        from loader.landing.pipeline import load_resources
        from loader.landing.tlc_trips import FIGURES, figures_resources

        loads = [list(figures_resources([one])) for one in found]
        try:
            with warehouse.build_lock(reporter):
                load_resources(settings, warehouse, FIGURES, loads, reporter)
                build_official(settings, "official_verdicts")
        except LoaderError as error:
            return [], [*errors, error]
    for one in found:
        reporter.say(f"TLC's {one.source}  landed: to {one.vintage}, {len(one.figures):,} figures")
    return found, errors


def _read_new(
    warehouse: Warehouse, reporter: Reporter, source: str
) -> tuple[list[Vintage], list[LoaderError]]:
    known = warehouse.read(
        "select source, vintage, sha256, source_url, etag, landed_at from {tlc}.official_figures"
        " group by source, vintage, sha256, source_url, etag, landed_at"
        " order by landed_at nulls first"
    )
    etags = {row["source_url"]: row["etag"] for row in known}
    newest = {(row["source"], row["vintage"]): row["sha256"] for row in known}
    found: dict[str, Vintage] = {}
    errors: list[LoaderError] = []
    absent: list[LoaderError] = []
    try:
        addresses = figures.addresses(source)
    except SourceError as error:
        return [], [error]
    for address in addresses:
        try:
            vintage = figures.read(address, etags.get(redact(address)))
        except NotPublishedError as error:
            absent.append(error)
        except (SourceError, FileRefusedError) as error:
            errors.append(error)
        else:
            if vintage and newest.get((vintage.source, vintage.vintage)) != vintage.sha256:
                found[vintage.sha256] = vintage
            if vintage and vintage.unknown:
                names = ", ".join(vintage.unknown)
                reporter.say(f"TLC's {vintage.source}  warning: nobody knows {names}; left out")
    # A copy need not have all reports.
    if source == TLC_CDN or len(absent) == len(addresses):
        errors += absent
    if not addresses:
        errors.append(NotPublishedError(f"no report of TLC's own counts is in {redact(source)}"))
    return sorted(found.values(), key=lambda one: one.vintage), errors
