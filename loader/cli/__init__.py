"""The command line: `nyc-tlc …`, the same as `python -m loader …`; a file a group of commands."""

# The order of the commands in --help.
from loader.cli import load, look, export, tools, demo, server  # isort: skip
from loader.cli.app import app, main

__all__ = ["app", "demo", "export", "load", "look", "main", "server", "tools"]
