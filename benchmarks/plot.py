"""The plot: seconds of month 1, 2, 3 …, ours and the replaced flow's."""

from typing import Any

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 48, 44
# Readable on white and on black alike: a picture in a README doesn't know which it stands on.
_GREY, _OURS, _THEIRS = "#848d97", "#2f81f7", "#e5661b"


def months_svg(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], rows: int) -> str:
    """Draw the months.

    Args:
        ours: `month` and `seconds` of ours.
        theirs: the same of the replaced flow, for the months that were timed.
        rows: rows of a month.

    Returns:
        The SVG.
    """
    last = max(ours[-1]["month"], 2)
    step = _step(max(one["seconds"] for one in [*ours, *theirs]) / 5)
    highest = step * (int(max(one["seconds"] for one in [*ours, *theirs]) / step) + 1)

    def x(month: float) -> float:
        return round(_LEFT + (month - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(seconds: float) -> float:
        return round(_HEIGHT - _BOTTOM - seconds / highest * (_HEIGHT - _TOP - _BOTTOM), 1)

    def text(at_x: float, at_y: float, words: str, anchor: str, colour: str = _GREY) -> str:
        return f'<text x="{at_x}" y="{at_y}" text-anchor="{anchor}" fill="{colour}">{words}</text>'

    parts = [text(_LEFT, 20, f"Seconds to load one month of {rows:,} trips", "start")]
    for tick in range(int(highest / step) + 1):
        height = y(tick * step)
        parts.append(
            f'<line x1="{_LEFT}" y1="{height}" x2="{_WIDTH - _RIGHT}" y2="{height}"'
            f' stroke="{_GREY}" stroke-opacity="{0.25 if tick else 1}"/>'
        )
        parts.append(text(_LEFT - 8, height + 4, f"{tick * step:g}", "end"))
    for month in range(1, last + 1, max(1, last // 12)):
        parts.append(text(x(month), _HEIGHT - _BOTTOM + 20, str(month), "middle"))
    centre = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(text(centre, _HEIGHT - 6, "months in the table, this one included", "middle"))
    for name, colour, dash, curve in (
        ("the replaced flow (dots: timed)", _THEIRS, "4 4", theirs),
        ("nyc_tlc", _OURS, "none", ours),
    ):
        points = [(x(one["month"]), y(one["seconds"])) for one in curve]
        line = " ".join(f"{px},{py}" for px, py in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dash}"/>'
        )
        parts += [f'<circle cx="{px}" cy="{py}" r="3.5" fill="{colour}"/>' for px, py in points]
        end_x, end_y = points[-1]
        anchor = "end" if end_x > _WIDTH / 3 else "start"
        parts.append(text(end_x, end_y - 12, name, anchor, colour))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img">\n'
        f"<title>Seconds to load a month, month after month</title>\n{body}\n</svg>\n"
    )


def _step(wanted: float) -> float:
    """Round up to a number that looks well on an axis: 1, 2 or 5, and zeros."""
    size = 10.0 ** len(str(int(wanted))) / 10 if wanted >= 1 else 0.1
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= wanted)
