"""`python -m loader`."""

import atexit
import gc
import signal

# Ctrl-C while Python still reads the program: it ends, and shows no trace of that.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from loader.cli import main

# What dlt brings stays to the end. Python looks through it less often, and not once more when it
# ends: a run ends a quarter of a second sooner.
gc.set_threshold(100_000)
atexit.register(gc.freeze)
main()
