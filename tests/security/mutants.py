"""Makes malformed month files: a good one's bytes, footer or schema, changed by chance.

A mutant is told by its seed and number alone: the same two always give the same bytes.
"""

import csv
import datetime as dt
import gzip
import io
import random
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loader.sample import write_month

ROWS = 300
#: The months that mutants are made of, one a dataset.
MONTHS = {
    "green": dt.date(2023, 1, 1),
    "yellow": dt.date(2024, 6, 1),
    "fhv": dt.date(2019, 2, 1),
    "fhvhv": dt.date(2021, 3, 1),
}

#: Text that is code somewhere: SQL, COPY, Jinja, a shell, a terminal, a path.
NASTY_TEXTS = (
    *('"; drop table month_files; --', "'; drop schema tlc_raw cascade; --", "\\.", "\\N", "\\"),
    *("{{ target.password }}", "$(touch injected)", "../../etc/passwd", "a\tb\nc\rd"),
    *("\x1b[2J\x1b]0;title\x07", "\u202egnp.exe", "", " ", "NULL", "%s %(x)s {0} %", "é 東京 🚕"),
    "x" * 1_000,
)
NASTY_NAMES = (
    *(*NASTY_TEXTS, "a\0b", "y" * 63, "y" * 64, "y" * 200, "1st", "_file_month", "_file_row"),
    *("_dlt_load_id", "vendor_id", "VENDORID", "ctid", "xmin", "tableoid", "select", "Größe"),
    "İstanbul",
)


@dataclass(frozen=True)
class Mutant:
    """A malformed file.

    Attributes:
        dataset: of whose month in `MONTHS` it is.
        kind: what was done to it, in a few words.
        content: its bytes.
        suffix: by which it is Parquet, CSV or gzipped CSV.
    """

    dataset: str
    kind: str
    content: bytes
    suffix: str = ".parquet"


class _Dice(random.Random):
    """Random choices for one mutant; the first is the dataset that it is made of."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.dataset = self.choice(list(MONTHS))


def mutant(seed: int, number: int) -> Mutant:
    """Make a mutant, by the seed of the run and its number in it."""
    rng = _Dice(f"{seed}/{number}")
    make = rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
    kind = make.__name__.strip("_").replace("_", " ")
    content = make(rng)
    if not kind.startswith("csv"):
        return Mutant(rng.dataset, kind, content)
    if rng.random() < 0.5:
        return Mutant(rng.dataset, kind, content, ".csv")
    gzipped = gzip.compress(content, mtime=0)
    if rng.random() < 0.3:
        gzipped = _damaged(rng, gzipped)
    return Mutant(rng.dataset, kind, gzipped, ".csv.gz")


# ---- Good files to start from --------------------------------------------------------------------

_LAYOUTS: tuple[dict[str, Any], ...] = (
    {"compression": "zstd"},
    {"compression": "gzip", "row_group_size": 100},
    {"compression": "snappy", "use_dictionary": False},
    {"compression": "none", "data_page_version": "2.0"},
    {"compression": "lz4", "data_page_size": 512, "write_batch_size": 64},
    {"compression": "brotli", "write_statistics": False, "store_schema": False},
    {"compression": "none", "write_page_checksum": True, "write_page_index": True},
)


@cache
def good_table(dataset: str) -> pa.Table:
    """Make a month that is as TLC publishes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.parquet"
        write_month(path, dataset, MONTHS[dataset], ROWS)
        return pq.read_table(path)


@cache
def good_file(dataset: str, layout: int = 0) -> bytes:
    """Return the bytes of a good month file in one of several layouts."""
    return _written(good_table(dataset), _LAYOUTS[layout])


def _written(table: pa.Table, layout: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **layout)
    return out.getvalue()


def _any_good(rng: _Dice) -> bytearray:
    return bytearray(good_file(rng.dataset, rng.randrange(len(_LAYOUTS))))


def _footer_start(content: bytes) -> int:
    return len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]


# ---- Bytes ---------------------------------------------------------------------------------------


def _flip(rng: _Dice, content: bytearray, start: int, end: int) -> None:
    content[rng.randrange(start, end)] ^= 1 << rng.randrange(8)


def _flipped_bits(rng: _Dice) -> bytes:
    content = _any_good(rng)
    for _ in range(rng.choice((1, 1, 2, 8))):
        _flip(rng, content, 0, len(content))
    return bytes(content)


def _flipped_bits_in_footer(rng: _Dice) -> bytes:
    content = _any_good(rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _flip(rng, content, _footer_start(content), len(content) - 8)
    return bytes(content)


def _flipped_bits_in_page(rng: _Dice) -> bytes:
    content = _any_good(rng)
    offset, size = rng.choice(_chunks(content))
    for _ in range(rng.choice((1, 1, 3))):
        # Half of them in the first bytes: the page's header, the levels, the dictionary.
        _flip(rng, content, offset, offset + rng.choice((min(size, 48), size)))
    return bytes(content)


def _overwritten_run(rng: _Dice) -> bytes:
    content = _any_good(rng)
    start = rng.randrange(len(content))
    length = min(rng.choice((4, 64, 1024)), len(content) - start)
    fill = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    content[start : start + length] = fill
    return bytes(content)


def _truncated(rng: _Dice) -> bytes:
    content = bytes(_any_good(rng))
    return content[: rng.randrange(len(content))] + rng.choice((b"", b"PAR1"))


def _moved_bytes(rng: _Dice) -> bytes:
    content = _any_good(rng)
    start = rng.randrange(4, len(content) - 8)
    length = rng.choice((1, 7, 100))
    piece = content[start : start + length]
    if rng.random() < 0.5:
        del content[start : start + length]
    else:
        content[start:start] = piece
    return bytes(content)


def _footer_length(rng: _Dice) -> bytes:
    content = _any_good(rng)
    (length,) = struct.unpack("<I", content[-8:-4])
    wrong = (length + rng.randint(-9, 9), 0, 1, len(content), 2**31 - 1, 2**31, 2**32 - 1)
    content[-8:-4] = struct.pack("<I", rng.choice(wrong))
    return bytes(content)


def _magic(rng: _Dice) -> bytes:
    content = _any_good(rng)
    place = rng.choice((slice(0, 4), slice(-4, None)))
    content[place] = rng.choice((b"PARE", b"PAR2", b"par1", b"\0\0\0\0", b"ORC\0"))
    return bytes(content)


def _other_files_footer(rng: _Dice) -> bytes:
    one, other = _any_good(rng), _any_good(rng)
    return bytes(one[: _footer_start(one)] + other[_footer_start(other) :])


def _chunks(content: bytes) -> list[tuple[int, int]]:
    """Give the offset and size of every column chunk."""
    metadata = pq.read_metadata(pa.BufferReader(bytes(content)))
    found = []
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            offset = chunk.dictionary_page_offset or chunk.data_page_offset
            found.append((offset, chunk.total_compressed_size))
    return found


# ---- Thrift: the footer and the headers of pages, changed as the structures that they are --------

_BOOLEANS, _INTEGERS, _DOUBLE, _BINARY, _LIST, _STRUCT = (1, 2), (3, 4, 5, 6), 7, 8, 9, 12
_Struct = list[list[Any]]  # of [field id, type, value]; a list's value is [type of items, items]


def _read_varint(file: io.BytesIO) -> int:
    value = shift = 0
    while (byte := file.read(1)[0]) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value | byte << shift


def _read_zigzag(file: io.BytesIO) -> int:
    value = _read_varint(file)
    return (value >> 1) ^ -(value & 1)


def _read_struct(file: io.BytesIO) -> _Struct:
    """Read a structure of Thrift's compact protocol."""
    fields, last = [], 0
    while (byte := file.read(1)[0]) != 0:
        last = last + (byte >> 4) if byte >> 4 else _read_zigzag(file)
        fields.append([last, byte & 15, _read_value(file, byte & 15)])
    return fields


def _read_value(file: io.BytesIO, kind: int) -> Any:
    if kind in _BOOLEANS:
        return None
    if kind == 3:
        return file.read(1)[0]
    if kind in _INTEGERS:
        return _read_zigzag(file)
    if kind == _DOUBLE:
        return file.read(8)
    if kind == _BINARY:
        return file.read(_read_varint(file))
    if kind == _STRUCT:
        return _read_struct(file)
    head = file.read(1)[0]  # a list
    size = _read_varint(file) if head >> 4 == 15 else head >> 4
    of = head & 15
    return [of, [file.read(1) if of in _BOOLEANS else _read_value(file, of) for _ in range(size)]]


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _zigzag(value: int) -> bytes:
    return _varint((value << 1) ^ (value >> 63))


def _encoded(fields: _Struct) -> bytes:
    out, last = b"", 0
    for number, kind, value in fields:
        near = 0 < number - last < 16
        out += bytes([(number - last) << 4 | kind]) if near else bytes([kind]) + _zigzag(number)
        out += _encoded_value(kind, value)
        last = number
    return out + b"\0"


def _encoded_value(kind: int, value: Any) -> bytes:
    if kind in _BOOLEANS:
        return b""
    if kind == 3:
        return bytes([value & 255])
    if kind in _INTEGERS:
        return _zigzag(value)
    if kind == _DOUBLE:
        return value
    if kind == _BINARY:
        return _varint(len(value)) + value
    if kind == _STRUCT:
        return _encoded(value)
    of, items = value
    size = len(items)
    head = bytes([size << 4 | of]) if size < 15 else bytes([0xF0 | of]) + _varint(size)
    return head + b"".join(i if of in _BOOLEANS else _encoded_value(of, i) for i in items)


def _changed(rng: _Dice, root: _Struct) -> None:
    """Change one thing in a structure; each path of field ids is as likely as any other."""
    places: dict[tuple, list[tuple[list, int]]] = {}

    def walk(fields: _Struct, path: tuple) -> None:
        for index, (number, kind, value) in enumerate(fields):
            places.setdefault((*path, number), []).append((fields, index))
            if kind == _STRUCT:
                walk(value, (*path, number))
            elif kind == _LIST and value[0] == _STRUCT:
                for item in value[1]:
                    walk(item, (*path, number))

    walk(root, ())
    fields, index = rng.choice(places[rng.choice(sorted(places))])
    field = fields[index]
    number, kind, value = field
    if rng.random() < 0.1:
        rng.choice((lambda: fields.pop(index), lambda: fields.insert(index, list(field))))()
    elif rng.random() < 0.05:
        field[0] = max(1, number + rng.choice((-1, 1, 40)))
    elif kind in _BOOLEANS:
        field[1] = 3 - kind
    elif kind in _INTEGERS:
        near = (value - 1, value + 1, value * 2, value // 2, -value)
        far = (0, 1, -1, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), rng.randrange(2**20))
        field[2] = rng.choice((rng.choice(near), rng.choice(far), rng.randrange(12)))
    elif kind == _BINARY:
        nasty = rng.choice(NASTY_NAMES).encode()
        field[2] = rng.choice((nasty, value[:-1], value + b"\xff", rng.randbytes(len(value)), b""))
    elif kind == _LIST and value[1]:
        items, item = value[1], rng.randrange(len(value[1]))
        rng.choice(
            (
                lambda: items.pop(item),
                lambda: items.insert(item, items[item]),
                lambda: rng.shuffle(items),
                lambda: items.clear(),
                lambda: items.extend(items * 3),
            )
        )()


def _structure_of_footer(rng: _Dice) -> bytes:
    pages, fields = _pages_and_footer(bytes(_any_good(rng)))
    for _ in range(rng.choice((1, 1, 1, 2))):
        _changed(rng, fields)
    return _with_footer(pages, fields)


def with_rows_in_footer(content: bytes, rows: int) -> bytes:
    """Give a file whose footer tells another number of rows."""
    pages, fields = _pages_and_footer(content)
    told = [[number, kind, rows if number == 3 else value] for number, kind, value in fields]
    return _with_footer(pages, told)


def _pages_and_footer(content: bytes) -> tuple[bytes, _Struct]:
    start = _footer_start(content)
    return content[:start], _read_struct(io.BytesIO(content[start:]))


def _with_footer(pages: bytes, fields: _Struct) -> bytes:
    footer = _encoded(fields)
    return pages + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _structure_of_page_header(rng: _Dice) -> bytes:
    content = bytes(_any_good(rng))
    offset, _ = rng.choice(_chunks(content))
    file = io.BytesIO(content)
    file.seek(offset)
    fields = _read_struct(file)
    _changed(rng, fields)
    return content[:offset] + _encoded(fields) + file.read()


# ---- Schema and values: files that are good Parquet ----------------------------------------------

_TYPES: tuple[pa.DataType, ...] = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null(), pa.date32(), pa.date64()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(4)),
    *(pa.decimal128(20, 4), pa.decimal256(50, 2), pa.time32("ms"), pa.time64("ns")),
    *(pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns")),
    *(pa.timestamp("us", "UTC"), pa.timestamp("ns", "America/New_York"), pa.duration("us")),
    *(pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.int64())),
    *(pa.list_(pa.int32()), pa.large_list(pa.string()), pa.list_(pa.float64(), 2)),
    pa.struct([("a", pa.int32()), ("b", pa.timestamp("ns"))]),
    *(pa.map_(pa.string(), pa.int32()), pa.list_(pa.struct([("t", pa.timestamp("s"))]))),
)
_EXTREMES = (
    *(0, 1, -1, 127, -129, 255, 65_536, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1),
    *(2**63 - 1, -(2**63), 2**64 - 1, 253_402_300_800_000_000, -62_135_596_800_000_001),
    *(0.5, 1e308, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1e20),
)


def _values(rng: _Dice, kind: pa.DataType, rows: int) -> pa.Array:
    """Make a column of any type; some of its values are extreme."""
    if pa.types.is_null(kind):
        return pa.nulls(rows)
    if pa.types.is_dictionary(kind):
        return _values(rng, kind.value_type, rows).dictionary_encode().cast(kind)
    if pa.types.is_nested(kind):
        made = [_nested(rng, kind) if rng.random() < 0.9 else None for _ in range(rows)]
        return pa.array(made, kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = (*NASTY_TEXTS, "N", "Y", None, *(("a\0b",) if rng.random() < 0.3 else ()))
        return pa.array([rng.choice(texts) for _ in range(rows)], kind)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([rng.randbytes(rng.randrange(9)) for _ in range(rows)], kind)
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return pa.array([rng.randbytes(kind.byte_width) for _ in range(rows)], kind)
    extreme = rng.random() < 0.5
    numbers = [rng.choice(_EXTREMES) if extreme and rng.random() < 0.05 else rng.randrange(5)
               for _ in range(rows)]  # fmt: skip
    if pa.types.is_boolean(kind):
        return pa.array([bool(number) for number in numbers])
    return pa.array([_fitting(number, kind) for number in numbers], kind)


def _fitting(number: float, kind: pa.DataType) -> Any:
    """Give the number as a value of the type; NULL when it is none."""
    if not pa.types.is_floating(kind) and number != number // 1:
        return None
    try:
        whole = number if pa.types.is_floating(kind) else int(number)
        if pa.types.is_temporal(kind):
            width = pa.int64() if kind.bit_width == 64 else pa.int32()
            return pa.scalar(whole, width).cast(kind)
        return pa.scalar(whole, kind)
    except (pa.ArrowException, OverflowError, ValueError):
        return None


def _nested(rng: _Dice, kind: pa.DataType) -> Any:
    if pa.types.is_map(kind):
        return [(rng.choice(NASTY_TEXTS), rng.randrange(9))]
    if pa.types.is_struct(kind):
        return {field.name: _nested(rng, field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return [0.5, rng.random()]
    if pa.types.is_nested(kind):
        return [_nested(rng, kind.value_type) for _ in range(rng.randrange(3))]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return rng.choice(NASTY_TEXTS)
    if pa.types.is_temporal(kind):
        return _fitting(rng.choice(_EXTREMES), kind)
    return rng.randrange(9)


def _other_type(rng: _Dice) -> bytes:
    table = good_table(rng.dataset)
    index = rng.randrange(table.num_columns)
    kind = rng.choice(_TYPES)
    values = _values(rng, kind, len(table))
    return _written_somehow(rng, table.set_column(index, table.column_names[index], values))


def _other_columns(rng: _Dice) -> bytes:
    table = good_table(rng.dataset)
    for _ in range(rng.choice((1, 1, 2, 5))):
        name, index = rng.choice(NASTY_NAMES), rng.randrange(table.num_columns)
        what = rng.randrange(4)
        if what == 0:
            names = table.column_names
            table = table.rename_columns([*names[:index], name, *names[index + 1 :]])
        elif what == 1:
            table = table.remove_column(index)
        elif what == 2:
            table = table.append_column(name, _values(rng, rng.choice(_TYPES), len(table)))
        else:
            copied = rng.choice((str.upper, str.lower, str.title))(table.column_names[index])
            table = table.append_column(copied, table.column(index))
    return _written_somehow(rng, table)


def _other_values(rng: _Dice) -> bytes:
    table = good_table(rng.dataset)
    for _ in range(rng.choice((1, 2))):
        index = rng.randrange(table.num_columns)
        field = table.schema.field(index)
        table = table.set_column(index, field, _values(rng, field.type, len(table)))
    return _written_somehow(rng, table)


def _broken_text(rng: _Dice) -> bytes:
    """Text columns whose bytes are no UTF-8: told to be text by the footer alone."""
    table = good_table(rng.dataset)
    of_text = [field.name for field in table.schema if "string" in str(field.type)]
    name = rng.choice((*of_text, "remark"))
    raw = pa.array([rng.choice((b"N", b"\xff\xfe", b"\xc3", b"a\0")) for _ in range(len(table))])
    texts = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    if name in table.column_names:
        table = table.set_column(table.column_names.index(name), name, texts)
    else:
        table = table.append_column(name, texts)
    return _written_somehow(rng, table)


def _other_rows(rng: _Dice) -> bytes:
    table = good_table(rng.dataset)
    start = rng.randrange(len(table))
    return _written_somehow(rng, table.slice(start, rng.choice((0, 1, len(table)))))


def _written_somehow(rng: _Dice, table: pa.Table) -> bytes:
    layout = dict(rng.choice(_LAYOUTS))
    if rng.random() < 0.1:
        layout["use_deprecated_int96_timestamps"] = True
    try:
        return _written(table, layout)
    except (pa.ArrowException, OSError):  # no Parquet for such a type: the good file then
        return good_file(rng.dataset)


# ---- CSV -----------------------------------------------------------------------------------------

_ODD_FIELDS = (
    *("", " ", "0", "-0", "1.0", "1.5", " 7 ", "1e3", "0x1F", "1_000", "NaN", "inf", "32768"),
    *("1e400", "2147483648", "9999999999999999999", "1,5", '"', "N/A", "a\0b", "Ünïcode"),
    *("2023-01-31 23:59:59", "2023-01-31 23:59:60", "2023-02-30 00:00:00", "0001-01-01 00:00:00"),
    *("2023-01-01", "2023-01-31T23:59:59", "2023-01-31 23:59:59.5", "31/01/2023 23:59"),
)  # fmt: skip


def _csv_of(rows: list[list[str]], line_end: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end).writerows(rows)
    return out.getvalue().encode()


@cache
def _good_rows(dataset: str) -> list[list[str]]:
    """Return a good month as fields of text, with its header."""
    table = good_table(dataset)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    fields = [["" if value is None else str(value) for value in row] for row in rows]
    return [table.column_names, *fields]


def _damaged(rng: _Dice, content: bytes) -> bytes:
    if rng.random() < 0.3:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 8))):
        changed[rng.randrange(len(changed))] = rng.choice((*b'0179.,"\n -', rng.randrange(256)))
    return bytes(changed)


def _csv_bytes(rng: _Dice) -> bytes:
    return _damaged(rng, _csv_of(_good_rows(rng.dataset)))


def _csv_fields(rng: _Dice) -> bytes:
    rows = [list(row) for row in _good_rows(rng.dataset)]
    for _ in range(rng.choice((1, 1, 3))):
        row = rows[rng.randrange(1, len(rows))]
        row[rng.randrange(len(row))] = rng.choice((*_ODD_FIELDS, *NASTY_TEXTS))
    return _csv_of(rows, rng.choice(("\n", "\r\n")))


def _csv_shape(rng: _Dice) -> bytes:
    rows = [list(row) for row in _good_rows(rng.dataset)]
    what, column = rng.randrange(5), rng.randrange(len(rows[0]))
    if what == 0:
        rows[rng.randrange(len(rows))].append("more")
    elif what == 1:
        del rows[rng.randrange(len(rows))][column]
    elif what == 2:
        rows[0][column] = rng.choice((*NASTY_NAMES, rows[0][0].upper()))
    elif what == 3:
        for row in rows:
            del row[column]
    else:
        rows.insert(rng.randrange(1, len(rows)), [])
    return _csv_of(rows)


_KINDS: dict[Callable[[_Dice], bytes], int] = {
    _flipped_bits: 10,
    _flipped_bits_in_footer: 12,
    _flipped_bits_in_page: 14,
    _overwritten_run: 6,
    _truncated: 3,
    _moved_bytes: 5,
    _footer_length: 2,
    _magic: 1,
    _other_files_footer: 2,
    _structure_of_footer: 16,
    _structure_of_page_header: 8,
    _other_type: 8,
    _other_columns: 6,
    _other_values: 4,
    _broken_text: 1,
    _other_rows: 2,
    _csv_bytes: 6,
    _csv_fields: 12,
    _csv_shape: 6,
}
