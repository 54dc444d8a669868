"""nyc_tlc: lands New York's taxi trip files in a warehouse, fast and verified."""

__version__ = "0.1.0"
