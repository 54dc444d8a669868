"""How the report writes names, counts and shares."""

from collections.abc import Iterable, Sequence

from loader.datasets import get_dataset


def name(dataset: str) -> str:
    """Name a dataset in a sentence, in the plural."""
    return get_dataset(dataset).label


def whole(value: float) -> str:
    """Write a count."""
    return f"{value:,.0f}"


def percentage(value: float) -> str:
    """Write a percentage, with one decimal."""
    return f"{value:.1f}%"


def axis_percentage(value: float) -> str:
    """Write a percentage of an axis, whose steps are round numbers."""
    return f"{value:g}%"


def dollars(value: float, cents: bool = True) -> str:
    """Write an amount, with its cents or without."""
    return f"{'-' if value < 0 else ''}${abs(value):,.{2 if cents else 0}f}"


def listed(parts: Sequence[str]) -> str:
    """Join parts: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def names_of(datasets: Iterable[str]) -> str:
    """Name datasets in a sentence."""
    return listed([name(dataset) for dataset in datasets])


def sentences(*said: str) -> str:
    """Join sentences, leaving out those that are empty."""
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in said if one)


def share(part: float, of: float) -> str:
    """Write a share in percent, never 0% of what is there, nor 100% where something is left."""
    percent = part / of * 100
    if 0 < percent < 0.1:
        return "less than 0.1%"
    if 99.9 < percent < 100:
        return "more than 99.9%"
    return f"{percent:.0f}%" if 1 <= percent <= 99 or percent in (0, 100) else f"{percent:.1f}%"


def change(now: float, before: float) -> str:
    """Write a change in percent, with its sign; empty where there was nothing before."""
    if before <= 0:
        return ""
    text = f"{(now / before - 1) * 100:+,.1f}%"
    return "0.0%" if text in ("+0.0%", "-0.0%") else text


def percent(part: float, of: float) -> str:
    """Write a share in percent with a decimal; empty where there is nothing to share."""
    return f"{part / of:.1%}" if of > 0 else ""


def few(value: float) -> str:
    """Write an average: with a decimal when it is small."""
    return f"{value:.1f}" if 0 < value < 10 else whole(value)
