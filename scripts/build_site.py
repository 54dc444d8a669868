#!/usr/bin/env python
"""Build the site: README and docs as pages, a report, dbt's docs; and what was published, if any.

`make site` calls it. With what scripts/publish.py has written, the site also has the report of each
month, the page of all history, the history of versions, and where the marts can be downloaded.
"""

import csv
import html
import json
import os
import re
import shutil
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
DICTIONARY = ROOT / "loader" / "dictionary.json"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DATA = "data/index.html"  # if there is any
MENU = {
    "index.html": "Start",
    DATA: "Data",
    "docs/index.html": "All pages",
    "report/index.html": "Sample report",
    "dbt/index.html": "Tables and columns",
    "search.html": "Search",
}
STYLE = """
:root {
  --paper: #fffdf8; --ink: #1d1d1b; --grid: #e4e1d8; --link: #0b5394; --code: #f3f0e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171716; --ink: #ecebe7; --grid: #3a3936; --link: #8fbdf0; --code: #232321;
  }
}
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 54rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word;
}
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; }
h1, h2, h3 { line-height: 1.25; }
code { background: var(--code); font-size: .9em; padding: .1em .25em; }
pre { background: var(--code); padding: .75rem; overflow-x: auto; line-height: 1.4; }
pre code { padding: 0; }
img { max-width: 100%; height: auto; background: #fffdf8; }
.table { overflow-x: auto; }
table { border-collapse: collapse; }
th, td {
  border-bottom: 1px solid var(--grid); padding: .35rem .75rem .35rem 0; text-align: left;
  vertical-align: top;
}
"""


SEARCH = """
const words = document.getElementById("words"), found = document.getElementById("found");
words.oninput = () => {
  const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  found.replaceChildren(...pages.filter(page => wanted.length && wanted.every(word =>
    (page.title + " " + page.text).toLowerCase().includes(word))).map(page => {
    const item = document.createElement("li"), link = document.createElement("a");
    const place = Math.max(page.text.toLowerCase().indexOf(wanted[0]) - 60, 0);
    link.href = page.at;
    link.textContent = page.title;
    item.append(link, " … " + page.text.slice(place, place + 160) + " …");
    return item;
  }));
};
"""
#: Columns of the ledger that tell a file's history.
VERSIONS = (
    *("dataset", "file_month", "last_modified", "file_bytes", "sha256", "table_rows"),
    *("rows_added", "rows_removed", "merged_at", "removed_at", "is_current"),
)


class BrokenLink(Exception):
    """A link to nothing."""


def place(path: Path) -> Path | None:
    """Return where a file of the repository is on the site; None: it isn't there."""
    if path == DICTIONARY:
        return SITE / "docs" / DICTIONARY.name
    if path not in PAGES and not (path.is_relative_to(ROOT / "docs") and path.is_file()):
        return None
    there = SITE / path.relative_to(ROOT)
    if path.name == "README.md":
        return there.with_name("index.html")
    return there.with_suffix(".html") if path.suffix == ".md" else there


def anchors(path: Path) -> list[str]:
    """Return the ids of a page's headings, as GitHub makes them."""
    tokens = MarkdownIt().enable("table").parse(path.read_text())
    return [anchor(after) for one, after in pairwise(tokens) if one.type == "heading_open"]


def anchor(heading: Token) -> str:
    """Return the id of a heading."""
    text = "".join(child.content for child in heading.children or [])
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def resolve(page: Path, link: str) -> str | None:
    """Return a link of a page as it is on the site; None: its target isn't there."""
    if re.match(r"[a-z]+:", link):
        return link
    name, _, part = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        raise BrokenLink(f"{page.relative_to(ROOT)}: {link}: no such file")
    if part and target.suffix == ".md" and part not in anchors(target):
        raise BrokenLink(f"{page.relative_to(ROOT)}: {link}: no such heading")
    found = place(target)
    return found and relative(page, found) + (f"#{part}" if part else "")


def relative(page: Path, target: Path) -> str:
    """Return the address of a file of the site, from a page."""
    return up(place(page)) + target.relative_to(SITE).as_posix()


def up(there: Path) -> str:
    """Return the address of the site's folder, from a file of the site."""
    return "../" * (len(there.relative_to(SITE).parents) - 1)


def render(page: Path) -> str:
    """Return a page of the docs as HTML."""
    markdown = MarkdownIt().enable("table")
    tokens = markdown.parse(page.read_text())
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(tokens[number + 1]))
        opened = True
        for child in token.children or []:
            if child.type == "image":
                child.attrSet("src", resolve(page, child.attrs["src"]))
            elif child.type == "link_open":
                address = resolve(page, child.attrs["href"])
                opened = address is not None
                if opened:
                    child.attrSet("href", address)
                else:  # a file of the repository that is no page
                    child.type, child.tag, child.attrs = "text", "", {}
            elif child.type == "link_close" and not opened:
                child.type, child.tag = "text", ""
    title = next(after.content for one, after in pairwise(tokens) if one.type == "heading_open")
    return in_frame(place(page), title, markdown.renderer.render(tokens, markdown.options, {}))


def in_frame(there: Path, title: str, body: str) -> str:
    """Return a page of the site, with its menu."""
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    body = body.replace("<th></th>", "<td></td>")
    menu = "".join(
        f'<li><a href="{up(there)}{target}">{label}</a></li>'
        for target, label in MENU.items()
        if target != DATA or (SITE / "data").exists()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<nav aria-label="Site"><ul>{menu}</ul></nav>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def add_published(folder: Path) -> None:
    """Add what was published: its reports, the history of versions, and where to download it."""
    data = SITE / "data"
    shutil.copytree(folder / "reports", data)
    shutil.copy(folder / "datapackage.json", data)
    with (data / "versions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(VERSIONS)
        for path in sorted(folder.glob("file_ledger/*/*.parquet")):
            rows = pq.read_table(path, columns=list(VERSIONS)).to_pylist()
            writer.writerows(row.values() for row in rows)
    package = json.loads((folder / "datapackage.json").read_text())
    (data / "index.html").write_text(data_page(package))


def data_page(package: dict) -> str:
    """Return the page of what was published.

    Args:
        package: the content of datapackage.json.
    """
    months = sorted((SITE / "data").glob("[0-9]*.html"), reverse=True)
    links = " · ".join(f'<a href="{path.name}">{path.stem}</a>' for path in months)
    files: dict[str, list[dict]] = defaultdict(list)
    for one in package["resources"]:
        files[one["path"].partition("/")[0].removesuffix(".parquet")].append(one)
    rows = "".join(
        f"<tr><td><code>{name}</code></td><td>{len(of_table):,}</td>"
        f"<td>{sum(one['table_rows'] for one in of_table):,}</td>"
        f"<td>{sum(one['bytes'] for one in of_table) / 1e6:,.1f}</td>"
        f"<td>{html.escape(of_table[0]['description'].partition('. ')[0])}</td></tr>\n"
        for name, of_table in sorted(files.items())
    )
    release = f"https://github.com/{os.environ.get('GITHUB_REPOSITORY', 'OWNER/nyc_tlc')}/releases"
    return in_frame(
        SITE / "data" / "index.html",
        "New York's taxi trips, month by month",
        "<h1>New York's taxi trips, month by month</h1>\n"
        f"<p>Made on {package['created'][:10]} by nyc-tlc {package['version']}.</p>\n"
        f'<p><a href="history.html">All of history on one page</a></p>\n<p>Reports: {links}</p>\n'
        "<h2>Download</h2>\n"
        f'<p>As Parquet: <a href="{release}/tag/marts">the newest marts</a>, an archive for each'
        ' dataset. <a href="datapackage.json">datapackage.json</a> lists every file with its'
        ' sha256; <a href="versions.csv">versions.csv</a> every version of TLC\'s files.</p>\n'
        "<table><thead><tr><th>table</th><th>files</th><th>rows</th><th>MB</th><th>a row is</th>"
        f"</tr></thead><tbody>\n{rows}</tbody></table>\n",
    )


def search_page(texts: dict[Path, str]) -> str:
    """Return the page that finds words in all pages, without a server.

    Args:
        texts: the source of each page of the docs.
    """
    pages = [
        {
            "title": text.partition("\n")[0].lstrip("# "),
            "at": place(page).relative_to(SITE).as_posix(),
            "text": " ".join(re.sub(r"[`*|#]|\]\([^)]*\)|\[", " ", text).split()),
        }
        for page, text in texts.items()
    ]
    data = json.dumps(pages).replace("<", "\\u003c")  # no text ends the script
    return in_frame(
        SITE / "search.html",
        "Search",
        "<h1>Search</h1>\n"
        '<p><label>Words: <input id="words" type="search" autofocus></label></p>\n'
        '<ul id="found" aria-live="polite"></ul>\n'
        f"<script>const pages = {data};\n{SEARCH}</script>\n",
    )


def llms() -> str:
    """Return llms.txt: what the site has, for programs that read text."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = re.findall(r"^\| \[([\w-]+)\]\((\S+\.md)\) \| (.+) \|$", index, re.MULTILINE)
    lines = "".join(
        f"- [{name}]({place(ROOT / 'docs' / path).relative_to(SITE)}): {told}\n"
        for name, path, told in pages
    )
    return (
        "# nyc-tlc\n\n"
        "> New York's taxi trips since 2009, from TLC's monthly files to tested tables in"
        " Postgres or BigQuery: trips, marts, and a ledger of every file's versions.\n\n"
        f"## Docs\n\n{lines}"
    )


def main(report: str, dbt_docs: str, published: str | None = None) -> None:
    """Build the site, with a report and dbt's docs, each one page of HTML.

    Args:
        published: a folder that scripts/publish.py has written.
    """
    shutil.rmtree(SITE, ignore_errors=True)
    if published:
        add_published(Path(published))
    for page in PAGES:
        there = place(page)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(render(page))
    shutil.copytree(ROOT / "docs" / "images", SITE / "docs" / "images")
    shutil.copy(DICTIONARY, place(DICTIONARY))
    for name, file in {"report": report, "dbt": dbt_docs}.items():
        (SITE / name).mkdir()
        shutil.copy(file, SITE / name / "index.html")
    (SITE / "search.html").write_text(search_page({page: page.read_text() for page in PAGES}))
    (SITE / "llms.txt").write_text(llms())
    print(SITE / "index.html")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BrokenLink as error:
        sys.exit(f"error: {error}")
