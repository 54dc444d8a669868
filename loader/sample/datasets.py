"""The datasets whose months can be made."""

import datetime as dt

import pyarrow as pa

from loader.errors import UsageError
from loader.sample.declaration import Dataset
from loader.sample.fhv import FHV
from loader.sample.fhvhv import FHVHV
from loader.sample.green import GREEN
from loader.sample.yellow import YELLOW

DATASETS = {dataset.name: dataset for dataset in (FHV, FHVHV, GREEN, YELLOW)}


def get_dataset(name: str) -> Dataset:
    """Look a dataset up.

    Raises:
        UsageError: when there is no such dataset.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}: choose from {', '.join(DATASETS)}")
    return DATASETS[name]


def schema_of(dataset: str, month: dt.date) -> pa.Schema:
    """Return the Arrow schema of TLC's file of a month.

    Args:
        dataset: yellow, green, fhv or fhvhv.
        month: the file month.

    Returns:
        The columns in TLC's order, spelling and types.

    Raises:
        UsageError: when there is no such dataset, or the month is before its first.
    """
    return get_dataset(dataset).layout(month).schema(month)
