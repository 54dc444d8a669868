"""nyc_tlc: lands New York's taxi trip files in a warehouse, fast and verified."""

import logging

__version__ = "0.2.0"

# Without a handler, Python prints errors to the terminal, past the formatter that hides secrets.
logging.getLogger(__name__).addHandler(logging.NullHandler())
