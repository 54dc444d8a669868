"""What a month should look like, told by the file.

Only names and types of the columns are the declarations'. What is under test is written again
here: which header is which column, how values are cleaned, and how rows are identified.
"""

import csv
import datetime as dt
import gzip
import hashlib
import io
import math
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from loader.datasets import datasets, get_dataset
from loader.settings import PROJECT_DIR
from tests.conftest import Workspace

_INT, _DOUBLE, _TEXT, _TIME = pa.int32(), pa.float64(), pa.string(), pa.timestamp("us")
#: Types by those of the declarations; codes are whole numbers like any others.
_TYPES = {"smallint": _INT, "integer": _INT, "double": _DOUBLE, "text": _TEXT, "timestamp": _TIME}
COLUMNS_OF = {
    name: {column.name: _TYPES[column.data_type] for column in dataset.file_columns}
    for name, dataset in datasets().items()
}
HEADERS = {name: name for columns in COLUMNS_OF.values() for name in columns} | {
    "affiliated_base_number": "affiliated_base_num",
    "vendorid": "vendor_id",
    "ratecodeid": "rate_code_id",
    "pulocationid": "pickup_location_id",
    "dolocationid": "dropoff_location_id",
}
#: Of columns that came after this was written.
_DECLARED_HEADERS = {
    spelling.name.lower(): column.name
    for dataset in datasets().values()
    for column in dataset.file_columns
    for spelling in column.spellings
}
#: Of yellow's files of 2009 and 2010.
EARLY_HEADERS = {
    **{"vendor_name": "vendor_id", "surcharge": "extra", "rate_code": "rate_code_id"},
    "store_and_forward": "store_and_fwd_flag",
    **{"trip_pickup_datetime": "pickup_datetime", "trip_dropoff_datetime": "dropoff_datetime"},
    **{"start_lon": "pickup_longitude", "start_lat": "pickup_latitude"},
    **{"end_lon": "dropoff_longitude", "end_lat": "dropoff_latitude"},
    **{f"{name}_amt": f"{name}_amount" for name in ("fare", "tip", "tolls", "total")},
}
_VENDORS = {"CMT": 1, "VTS": 2, "DDS": 3}
_PAYMENTS = {"cr": 1, "ca": 2, "cs": 2, "no": 3, "di": 4, "na": 5}
_FLAGS = {0.0: "N", 1.0: "Y", "0": "N", "1": "Y", "N": "N", "Y": "Y"}


def columns_of(dataset: str) -> dict[str, pa.DataType]:
    return COLUMNS_OF[dataset]


def header(name: str) -> str:
    plain = name.lower().removeprefix("lpep_").removeprefix("tpep_")
    return HEADERS.get(plain) or _DECLARED_HEADERS.get(name.lower(), plain)


def expected(path: Path, dataset: str) -> pa.Table:
    """Read a month file as its rows should stand in the table, in the file's order."""
    file = pq.read_table(path)
    if {"vendor_name", "rate_code"} & set(file.column_names):
        file = _of_the_first_two_years(file)
    return _conformed({header(name): file[name] for name in file.column_names}, len(file), dataset)


def expected_of_csv(path: Path, dataset: str) -> pa.Table:
    """Read a CSV file likewise, by Python's own csv."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    values_of = {
        _INT: int,
        _DOUBLE: float,
        _TEXT: str,
        _TIME: lambda text: dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S"),
    }
    found = {}
    for name in rows[0]:
        kind = columns_of(dataset)[header(name)]
        values = [values_of[kind](row[name]) if row[name] else None for row in rows]
        found[header(name)] = pa.chunked_array([pa.array(values, kind)])
    return _conformed(found, len(rows), dataset)


def _conformed(found: dict[str, pa.ChunkedArray], rows: int, dataset: str) -> pa.Table:
    kinds = columns_of(dataset)
    assert set(found) <= set(kinds)
    return pa.table(
        {
            name: cleaned(name, found[name].cast(kind)) if name in found else pa.nulls(rows, kind)
            for name, kind in kinds.items()
        }
    )


def _of_the_first_two_years(file: pa.Table) -> pa.Table:
    """Write names, codes and times as later files have them."""
    columns = {}
    for name in file.column_names:
        if name == "__index_level_0__":
            continue
        values = file[name].to_pylist()
        late = EARLY_HEADERS.get(name.lower(), name.lower())
        if late == "vendor_id":
            values = [_VENDORS[value] for value in values]
        elif late == "payment_type":
            values = [_PAYMENTS[value[:2].lower()] for value in values]
        elif late == "store_and_fwd_flag":
            values = [None if value is None else _FLAGS[value] for value in values]
        elif late == "rate_code_id":
            values = [None if value is None else int(value) for value in values]
        elif late.endswith("_datetime"):
            values = [dt.datetime.strptime(value, "%Y-%m-%d %H:%M:%S") for value in values]
        columns[late] = pa.array(values, columns_of("yellow")[late])
    return pa.table(columns)


def cleaned(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Base numbers are trimmed and in upper case; a blank flag is missing; nothing else changes."""
    if name.endswith(("base_num", "license_num")):
        return pa.array([v and v.strip(" ").upper() for v in values.to_pylist()], _TEXT)
    if name.endswith("_flag") and name not in ("store_and_fwd_flag", "sr_flag"):
        return pa.array([v if v and v.strip(" ") else None for v in values.to_pylist()], _TEXT)
    return values


_KEY_OF_TAXIS = [
    *("vendor_id", "pickup_datetime", "dropoff_datetime", "pickup_location_id"),
    *("dropoff_location_id", "fare_amount", "trip_distance"),
]
KEYS = {
    "yellow": [
        *("vendor_id", "pickup_datetime", "dropoff_datetime"),
        ("pickup_location_id", "pickup_longitude", "pickup_latitude"),
        ("dropoff_location_id", "dropoff_longitude", "dropoff_latitude"),
        *("fare_amount", "trip_distance"),
    ],
    "green": _KEY_OF_TAXIS,
    "fhv": [
        *("dispatching_base_num", "affiliated_base_num", "pickup_datetime", "dropoff_datetime"),
        *("pickup_location_id", "dropoff_location_id"),
    ],
    "fhvhv": [
        *("hvfhs_license_num", "dispatching_base_num", "request_datetime", "pickup_datetime"),
        *("dropoff_datetime", "pickup_location_id", "dropoff_location_id"),
        *("base_passenger_fare", "trip_miles"),
    ],
}
#: The same, one by one.
KEY_COLUMNS = {
    dataset: [name for one in key for name in ([one] if isinstance(one, str) else one)]
    for dataset, key in KEYS.items()
}
#: In this order rows with one key are numbered.
_TIES_OF_TAXIS = [
    *("pickup_datetime", "dropoff_datetime", "fare_amount", "trip_distance", "total_amount"),
    *("payment_type", "passenger_count", "rate_code_id", "store_and_fwd_flag", "extra", "mta_tax"),
    *("tip_amount", "tolls_amount", "improvement_surcharge", "congestion_surcharge"),
    *("airport_fee", "ehail_fee", "trip_type", "cbd_congestion_fee", "request_source"),
]
_TIES = {
    "yellow": [
        *(name for name in _TIES_OF_TAXIS if name not in ("ehail_fee", "trip_type")),
        *("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude"),
    ],
    "green": [name for name in _TIES_OF_TAXIS if name != "airport_fee"],
    "fhv": ["pickup_datetime", "dropoff_datetime", "sr_flag"],
    "fhvhv": [
        *("request_datetime", "pickup_datetime", "dropoff_datetime", "base_passenger_fare"),
        *("trip_miles", "originating_base_num", "on_scene_datetime", "trip_time", "tolls", "bcf"),
        *("sales_tax", "congestion_surcharge", "airport_fee", "tips", "driver_pay"),
        *("shared_request_flag", "shared_match_flag", "access_a_ride_flag", "wav_request_flag"),
        *("wav_match_flag", "cbd_congestion_fee"),
    ],
}


def declared_ties(dataset: str) -> list[str]:
    """Return the columns that have a tie_breaker, in its order."""
    text = (PROJECT_DIR / get_dataset(dataset).declaration).read_text()
    columns = yaml.safe_load(text)["sources"][0]["tables"][0]["columns"]
    metas = {column["name"]: column.get("config", {}).get("meta", {}) for column in columns}
    ties = {name: meta["tie_breaker"] for name, meta in metas.items() if "tie_breaker" in meta}
    return sorted(ties, key=ties.__getitem__)


#: Columns that came after this was written are the last.
TIE_BREAKERS = {
    dataset: [*ties, *(name for name in declared_ties(dataset) if name not in ties)]
    for dataset, ties in _TIES.items()
}


def ids_of(rows: pa.Table, dataset: str, month: str) -> list[str]:
    """Work out the ids of a month's rows, as `expected` reads them, by what is documented."""
    days = (dt.date.fromisoformat(f"{month}-01") - dt.date(1970, 1, 1)).days
    places = defaultdict(list)
    for place, key in enumerate(key_texts(rows, dataset)):
        places["|".join((dataset, str(days), *key))].append(place)
    ties = [rows[name] for name in TIE_BREAKERS[dataset]]
    ids = [""] * len(rows)
    for key, sharing in places.items():
        if len(sharing) > 1:
            sharing.sort(key=lambda place: [_sort_key(column[place].as_py()) for column in ties])
        for ordinal, place in enumerate(sharing, 1):
            ids[place] = str(uuid.UUID(hashlib.md5(f"{key}|{ordinal}".encode()).hexdigest()))
    return ids


def key_texts(rows: pa.Table, dataset: str) -> Iterator[tuple[str, ...]]:
    """Write the key columns of rows, as `expected` reads them, as they stand in the key."""
    texts = [
        map(_key_text, rows[names].to_pylist())
        if isinstance(names, str)
        else map(_text_of_place, *(rows[name].to_pylist() for name in names))
        for names in KEYS[dataset]
    ]
    return zip(*texts, strict=True)


def _text_of_place(zone: int | None, longitude: float | None, latitude: float | None) -> str:
    """Write a zone; where there is none, the coordinates, in micro-degrees."""
    if zone is not None or (longitude is None and latitude is None):
        return _key_text(zone)
    return ",".join(
        "~"
        if degrees is None
        else str(math.floor(degrees * 1e6 + 0.5))
        if abs(degrees) < 1e11
        else "!"
        for degrees in (longitude, latitude)
    )


def _key_text(value: Any) -> str:
    if value is None:
        return "~"
    if isinstance(value, dt.datetime):
        return str((value - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1))
    if isinstance(value, float):
        return str(math.floor(value * 100 + 0.5)) if abs(value) < 1e15 else "!"
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value)


def _sort_key(value: Any) -> tuple:
    """Sort missing values last, before them what is not a number, and text by its bytes."""
    if value is None or value != value:
        return (2 if value is None else 1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


def stored(workspace: Workspace, dataset: str, month: str, *more: str) -> pa.Table:
    """Read a month of a trips table, by file_row; `more` columns come first."""
    kinds = {"unique_row_id": _TEXT, "file_row": _INT, "file_month": pa.date32()}
    kinds = {name: kinds[name] for name in more} | columns_of(dataset)
    return workspace.read(
        f"select {', '.join(kinds)} from {workspace.tlc}.{dataset}_tripdata"
        f" where file_month = '{month}-01' order by file_row",
        kinds,
    )


def landed(workspace: Workspace, dataset: str, month: str) -> pa.Table:
    """Read a month of a raw table, in the file's order."""
    kinds = columns_of(dataset)
    return workspace.read(
        f"select {', '.join(kinds)} from {workspace.raw}.{dataset}_tripdata"
        f" where _file_month = '{month}-01' order by _file_row",
        kinds,
    )


def assert_same(actual: pa.Table, wanted: pa.Table) -> None:
    assert actual.num_rows == wanted.num_rows
    for name in wanted.column_names:
        if not actual[name].equals(wanted[name]):
            rows = zip(actual[name].to_pylist(), wanted[name].to_pylist(), strict=True)
            row, pair = next((n, pair) for n, pair in enumerate(rows, 1) if pair[0] != pair[1])
            pytest.fail(f"{name}, row {row}: {pair[0]!r} in the table, {pair[1]!r} in the file")
