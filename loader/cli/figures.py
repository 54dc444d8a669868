"""Lands what TLC itself counted, for the commands figures and sync."""

from loader.building.runner import build_official
from loader.cli.options import Session
from loader.errors import FileRefusedError, LoaderError, NotPublishedError, SourceError
from loader.settings import TLC_CDN
from loader.source import figures
from loader.source.bases import BaseList
from loader.source.figures import Vintage
from loader.source.published import redact


def land_figures(context: Session, source: str) -> tuple[bool, list[LoaderError]]:
    """Land the reports of TLC's own counts, and the list of bases, that aren't here yet.

    Args:
        source: as of `figures.addresses`.

    Returns:
        Whether something landed, and what kept the rest from it.
    """
    settings, warehouse, reporter = context.settings, context.warehouse, context.reporter
    found, errors = _read_new(context, source)
    if not found:
        return False, errors
    from loader.landing.pipeline import load_versions  # dlt, which takes its time to import

    reports = [one for one in found if isinstance(one, Vintage)]
    reports.sort(key=lambda report: report.vintage)
    lists = [one for one in found if isinstance(one, BaseList)]
    landed: list[Vintage | BaseList] = []
    try:
        with warehouse.build_lock(reporter):
            if reports:
                load_versions(settings, warehouse, reports, reporter)
                build_official(settings, "official_verdicts")
                landed += reports
            if lists:
                load_versions(settings, warehouse, lists, reporter)
                build_official(settings, "licensed_bases")
                landed += lists
    except LoaderError as error:
        errors.append(error)
    for one in landed:
        reporter.say(f"{one}  landed: {one.content}")
    return bool(landed), errors


def _read_new(context: Session, source: str) -> tuple[list[Vintage | BaseList], list[LoaderError]]:
    known = context.warehouse.read(
        "select source, vintage, sha256, source_url, etag, landed_at from {tlc}.official_figures"
        " group by source, vintage, sha256, source_url, etag, landed_at"
        " order by landed_at nulls first"
    )
    etags = {row["source_url"]: row["etag"] for row in known}
    newest = {(row["source"], row["vintage"]): row["sha256"] for row in known}
    rows = context.warehouse.read("select max(sha256) as sha256 from {tlc}.licensed_bases")
    list_here = rows[0]["sha256"] if rows else None  # nothing was built yet
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
            if isinstance(read, Vintage):
                here = newest.get((read.source, read.vintage))
                if read.unknown:
                    names = ", ".join(read.unknown)
                    context.reporter.say(f"{read}  warning: nobody knows {names}; left out")
            else:
                here = list_here
            if read and read.sha256 != here:
                found[read.sha256] = read
    # A copy need not have all reports.
    if source == TLC_CDN or len(absent) == len(addresses):
        errors += absent
    if not addresses:
        errors.append(NotPublishedError(f"no report of TLC's own counts is in {redact(source)}"))
    return list(found.values()), errors
