"""The program: `nyc-tlc`, and the same as `python -m loader`."""

import signal
import sys

# Ctrl-C while Python still imports the program ends it without a stack trace.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command line, if the environment has what it needs."""
    try:
        from loader import cli
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("loader"):
            raise
        print(
            f"error: {error.name} is not installed for {sys.executable}: run `make install`, then"
            " `. .venv/bin/activate`",
            file=sys.stderr,
        )
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
