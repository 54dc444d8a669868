"""Green, as TLC publishes it."""

import pyarrow as pa

from loader.sample.csv_copies import CsvCopy
from loader.sample.declaration import Dataset
from loader.sample.layouts import (
    ALWAYS,
    AMOUNT,
    CBD_FEE,
    ID,
    TEXT,
    TIME,
    Column,
    Dated,
    Layout,
    since,
)
from loader.sample.metered import CONGESTION_SURCHARGE, REQUEST_SOURCE, Metered

_CODE: Dated[pa.DataType | None] = {ALWAYS: pa.float64(), since(2023, 2): pa.int64()}

_TRIPS = Metered(
    reversals={ALWAYS: 0.003},
    null_block=0.06,
    null_block_payment=None,
    popular_zones={74: 30, 75: 25, 41: 13, 166: 12, 95: 11, 82: 9},
    congestion_surcharge={ALWAYS: {0: 1}, since(2019, 2): {0: 72, 275: 28}},
    cbd_fee={0: 93, 75: 7},
    null_block_has_surcharge_in_csv=False,
)

GREEN = Dataset(
    name="green",
    layouts={
        since(2014, 1): Layout(
            columns=(
                Column("VendorID", ID),
                Column("lpep_pickup_datetime", TIME, "pickup_datetime"),
                Column("lpep_dropoff_datetime", TIME, "dropoff_datetime"),
                Column("store_and_fwd_flag", TEXT),
                Column("RatecodeID", _CODE),
                Column("PULocationID", ID),
                Column("DOLocationID", ID),
                Column("passenger_count", _CODE),
                Column("trip_distance", AMOUNT),
                Column("fare_amount", AMOUNT),
                Column("extra", AMOUNT),
                Column("mta_tax", AMOUNT),
                Column("tip_amount", AMOUNT),
                Column("tolls_amount", AMOUNT),
                Column(
                    "ehail_fee",
                    {
                        ALWAYS: pa.float64(),
                        since(2019, 9): pa.null(),
                        since(2023, 2): pa.float64(),
                    },
                ),
                Column("improvement_surcharge", AMOUNT),
                Column("total_amount", AMOUNT),
                Column("payment_type", _CODE),
                Column("trip_type", _CODE),
                CONGESTION_SURCHARGE,
                CBD_FEE,
                REQUEST_SOURCE,
            ),
            make=_TRIPS.make,
        )
    },
    csv=CsvCopy(
        line_end="\r\n",
        two_decimals=("trip_distance",),
        adjust=_TRIPS.as_in_csv,
    ),
)
