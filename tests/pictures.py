"""Reads the report's pictures as people do: lines by their axis, and what a pointer shows."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from loader.report.pictures import Picture


@dataclass
class Drawn:
    """A panel, as it is drawn.

    Attributes:
        lines: by class: parts that are joined, each a list of x and value.
        tips: what a pointer shows, in the order of the page.
        axis: the numbers of the axis, upwards.
    """

    title: str
    lines: dict[str, list[list[tuple[float, float]]]]
    tips: list[str]
    axis: list[float]

    def values(self, colour: str) -> list[float]:
        """All values of a line, from left to right."""
        return [value for part in sorted(self.lines[colour]) for _, value in part]


def read_panels(picture: Picture) -> list[Drawn]:
    """Read the panels of a picture."""
    found = []
    for panel in ElementTree.fromstring(f"<svg>{picture.body}</svg>").findall("g"):
        texts = panel.findall("text")
        axis = sorted(
            (-float(one.get("y")) + 4, number(one.text)) for one in texts if one.get("class") == "y"
        )
        (zero, low), (end, high) = axis[0], axis[-1]

        def value(y: str, zero=zero, low=low, end=end, high=high) -> float:
            return low + (-float(y) - zero) / (end - zero) * (high - low)

        lines: dict[str, list[list[tuple[float, float]]]] = {}
        for one in panel.findall("polyline"):
            points = [point.split(",") for point in one.get("points").split()]
            lines.setdefault(one.get("class"), []).append([(float(x), value(y)) for x, y in points])
        for one in panel.findall("circle"):
            lines.setdefault(one.get("class"), []).append(
                [(float(one.get("cx")), value(one.get("cy")))]
            )
        found.append(
            Drawn(
                " ".join(one.text for one in texts if one.get("class") == "title"),
                lines,
                [one.find("title").text for one in panel.iter() if one.find("title") is not None],
                [said for _, said in axis],
            )
        )
    return found


def tips(picture: Picture) -> list[str]:
    """Return all that a pointer shows on a picture."""
    root = ElementTree.fromstring(f"<svg>{picture.body}</svg>")
    return [one.text for one in root.iter("title")]


def number(text: str) -> float:
    """Read a number as people write it."""
    return float(re.sub("[$,%]", "", text.split()[0]))
