"""`python -m loader`."""

import atexit
import gc

from loader.cli import main

# What dlt brings stays to the end. Python looks through it less often, and not once more when it
# ends: a run ends a quarter of a second sooner.
gc.set_threshold(100_000)
atexit.register(gc.freeze)
main()
