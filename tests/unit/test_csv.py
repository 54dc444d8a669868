"""A CSV file is whole and right, or refused with its place and a reason."""

import datetime as dt
import gzip
from pathlib import Path

import pytest

from loader.errors import FileRefusedError
from loader.source import csv_file, discover, download
from loader.source.csv_file import CsvError, CsvFile

GOOD = {
    "plain": b"a,b\n1,2\n3,\n",
    "CRLF": b"a,b\r\n1,2\r\n3,\r\n",
    "mixed line ends": b"a,b\r\n1,2\n3,\r\n",
    "a BOM": b"\xef\xbb\xbfa,b\n1,2\n3,\n",
    "blanks in the header": b" a, b\n1,2\n3,\n",
    "an empty line after the header": b"a,b\n\n1,2\n3,\n",
    "quoted": b'"a","b"\n"1","2"\n"3",""\n',
}


def read(path: Path) -> dict[str, list]:
    file = CsvFile(path)
    rows = file.check()
    columns: dict[str, list] = {name: [] for name in file.schema.names}
    for batch in file.batches():
        for name, values in zip(columns, batch.columns, strict=True):
            columns[name] += values.to_pylist()
    assert rows == len(next(iter(columns.values())))
    return columns


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_values_are_read_as_they_are_and_empty_ones_are_null(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
    assert read(path) == {"a": ["1", "3"], "b": ["2", None]}


def test_a_quoted_field_may_have_a_line_break_and_columns_another_order(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b'b,a\n"x\ny",1\nz,2\n')
    assert read(path) == {"b": ["x\ny", "z"], "a": ["1", "2"]}


def test_a_header_alone_has_no_rows(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n")
    assert read(path) == {"a": [], "b": []}


ZIPPED = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
BAD = {
    "empty": (b"", "its last line doesn't end"),
    "a last line that is cut off": (b"a,b\n1,2\n3,", "its last line doesn't end"),
    "an empty header": (b"\n1,2\n", "no header in line 1"),
    "a field too many": (b"a,b\n1,2\n3,4,5\n", "row 2 after the header: expected 2 columns, got 3"),
    "a field too few": (b"a,b\n1\n", "row 1 after the header: expected 2 columns, got 1"),
    "no UTF-8": (b"a,b\n1,\xff\n", "UTF8"),
    "a header that is no UTF-8": (b"a,\xff\n1,2\n", "line 1 can't be read"),
    "gzip: cut off": (ZIPPED[:-9], "cut off or damaged"),
    "gzip: another length": (ZIPPED[:-4] + b"\0\0\0\0", "cut off or damaged"),
    "gzip: another CRC": (ZIPPED[:-8] + b"\0\0\0\0" + ZIPPED[-4:], "cut off or damaged"),
    "gzip: other bytes": (ZIPPED[:30] + b"\xff" * 9 + ZIPPED[39:], "can't be read|cut off or dam"),
    "gzip: none": (b"a,b\n1,2\n", "can't be read|cut off or damaged"),
}


@pytest.mark.parametrize(("name", "content", "reason"), [(n, *b) for n, b in BAD.items()], ids=BAD)
def test_what_is_not_whole_or_not_of_one_shape_is_refused(tmp_path, name, content, reason):
    path = tmp_path / ("file.csv.gz" if name.startswith("gzip") else "file.csv")
    path.write_bytes(content)
    with pytest.raises(CsvError, match=reason):
        read(path)


def test_half_a_file_is_no_month_file(tmp_path):
    path = tmp_path / "green_tripdata_2023-02.csv"
    path.write_bytes(GOOD["plain"][:-1])
    published = discover.require(str(tmp_path), "green", dt.date(2023, 2, 1))
    with pytest.raises(FileRefusedError, match=r"green 2023-02.* isn't a whole CSV file: its last"):
        download.fetch(published, tmp_path / "downloads")


def test_a_row_is_named_by_its_place_in_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 1_000)
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 5_000 + b"3\n")
    with pytest.raises(CsvError, match="row 5001 after the header"):
        read(path)
