"""Helpers for the text of messages."""


def count(number: float, noun: str) -> str:
    """Return a number with its noun, whose plural ends in s: 1 month, 2 months."""
    return f"{number:,.0f} {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.1f} h"
