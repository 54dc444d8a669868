"""Google's own SQL engine, which says what BigQuery makes of our SQL."""


class Refused(Exception):
    """What the engine says of SQL that it doesn't take, or can't execute."""


class Raised(Exception):
    """The script's own RAISE."""
