"""Yellow, as TLC publishes it."""

import pyarrow as pa

from loader.sample.csv_copies import CsvCopy
from loader.sample.declaration import Dataset
from loader.sample.early_yellow import LAYOUT_OF_2009, LAYOUT_OF_2010
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

_CODE: Dated[pa.DataType | None] = {
    ALWAYS: pa.int64(),
    since(2018, 7): pa.float64(),
    since(2023, 2): pa.int64(),
}

_TRIPS = Metered(
    reversals={ALWAYS: 0.001, since(2023, 1): 0.01, since(2025, 1): 0.04},
    null_block=0.05,
    null_block_payment=0,  # flex fare
    popular_zones={237: 18, 236: 17, 161: 16, 132: 14, 162: 13, 186: 12, 138: 10},
    congestion_surcharge={ALWAYS: {0: 1}, since(2019, 2): {0: 10, 250: 90}},
    cbd_fee={0: 25, 75: 75},
    null_block_has_surcharge_in_csv=True,
)

YELLOW = Dataset(
    name="yellow",
    layouts={
        since(2009, 1): LAYOUT_OF_2009,
        since(2010, 1): LAYOUT_OF_2010,
        since(2011, 1): Layout(
            columns=(
                Column("VendorID", ID),
                Column("tpep_pickup_datetime", TIME, "pickup_datetime"),
                Column("tpep_dropoff_datetime", TIME, "dropoff_datetime"),
                Column("passenger_count", _CODE),
                Column("trip_distance", AMOUNT),
                Column("RatecodeID", _CODE),
                Column("store_and_fwd_flag", TEXT),
                Column("PULocationID", ID),
                Column("DOLocationID", ID),
                Column("payment_type", {ALWAYS: pa.int64()}),
                Column("fare_amount", AMOUNT),
                Column("extra", AMOUNT),
                Column("mta_tax", AMOUNT),
                Column("tip_amount", AMOUNT),
                Column("tolls_amount", AMOUNT),
                Column("improvement_surcharge", AMOUNT),
                Column("total_amount", AMOUNT),
                CONGESTION_SURCHARGE,
                Column(
                    "airport_fee",
                    {ALWAYS: pa.null(), since(2021, 1): pa.float64(), since(2023, 2): None},
                ),
                Column("Airport_fee", {ALWAYS: None, since(2023, 2): pa.float64()}),
                CBD_FEE,
                REQUEST_SOURCE,
            ),
            make=_TRIPS.make,
        ),
    },
    csv=CsvCopy(
        line_end="\r\n",
        without=("airport_fee",),
        two_decimals=("trip_distance",),
        adjust=_TRIPS.as_in_csv,
    ),
)
