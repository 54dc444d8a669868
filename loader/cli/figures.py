"""Lands what TLC itself counted, for the commands figures and sync."""

from loader.building.runner import build_official
from loader.errors import FileRefusedError, LoaderError, NotPublishedError, SourceError
from loader.settings import TLC_CDN, Settings
from loader.source import figures
from loader.source.bases import BaseList
from loader.source.figures import Vintage
from loader.source.published import redact
from loader.terminal.progress import Reporter
from loader.terminal.words import count
from loader.warehouse.base import Warehouse


def land_figures(
    settings: Settings, warehouse: Warehouse, reporter: Reporter, source: str
) -> tuple[bool, list[LoaderError]]:
    """Land the reports of TLC's own counts, and the list of bases, that aren't here yet.

    Args:
        source: as of `figures.addresses`.

    Returns:
        Whether something landed, and what kept the rest from it.
    """
    found, errors = _read_new(warehouse, reporter, source)
    if found:
        # dlt, which takes its time to import
        from loader.landing.pipeline import load_resources
        from loader.landing.tlc_trips import BASES, FIGURES, bases_resource, figures_resources

        reports = [list(figures_resources([one])) for one in found if isinstance(one, Vintage)]
        lists = [[bases_resource(one)] for one in found if isinstance(one, BaseList)]
        try:
            with warehouse.build_lock(reporter):
                for table, loads, model in (
                    (FIGURES, reports, "official_verdicts"),
                    (BASES, lists, "licensed_bases"),
                ):
                    if loads:
                        load_resources(settings, warehouse, table, loads, reporter)
                        build_official(settings, model)
        except LoaderError as error:
            return False, [*errors, error]
    for one in found:
        if isinstance(one, Vintage):
            what = f"TLC's {one.source}  landed: to {one.vintage}, {len(one.figures):,} figures"
        else:
            twice = f", {one.repeated} of them twice: the last counts" if one.repeated else ""
            what = f"list of bases  landed: {count(len(one.bases), 'base')}{twice}"
        reporter.say(what)
    return bool(found), errors


def _read_new(
    warehouse: Warehouse, reporter: Reporter, source: str
) -> tuple[list[Vintage | BaseList], list[LoaderError]]:
    known = warehouse.read(
        "select source, vintage, sha256, source_url, etag, landed_at from {tlc}.official_figures"
        " group by source, vintage, sha256, source_url, etag, landed_at"
        " order by landed_at nulls first"
    )
    etags = {row["source_url"]: row["etag"] for row in known}
    newest = {(row["source"], row["vintage"]): row["sha256"] for row in known}
    lists = warehouse.read("select distinct sha256 from {tlc}.licensed_bases")
    known_lists = {row["sha256"] for row in lists}
    found: dict[str, Vintage | BaseList] = {}
    errors: list[LoaderError] = []
    absent: list[LoaderError] = []
    try:
        addresses = figures.addresses(source)
    except SourceError as error:
        return [], [error]
    for address in addresses:
        try:
            read = figures.read(address, etags.get(redact(address)))
        except NotPublishedError as error:
            absent.append(error)
        except (SourceError, FileRefusedError) as error:
            errors.append(error)
        else:
            if isinstance(read, BaseList):
                if read.sha256 not in known_lists:
                    found[read.sha256] = read
            elif read:
                if newest.get((read.source, read.vintage)) != read.sha256:
                    found[read.sha256] = read
                if read.unknown:
                    names = ", ".join(read.unknown)
                    reporter.say(f"TLC's {read.source}  warning: nobody knows {names}; left out")
    # A copy need not have all reports.
    if source == TLC_CDN or len(absent) == len(addresses):
        errors += absent
    if not addresses:
        errors.append(NotPublishedError(f"no report of TLC's own counts is in {redact(source)}"))
    return sorted(found.values(), key=lambda one: getattr(one, "vintage", "")), errors
