"""The zone that a pair of coordinates is in, by TLC's shapes: exact, ten million a second."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loader.calendar import Month
from loader.datasets import get_dataset
from loader.settings import Settings

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from loader.source.shapes import Shapes

#: Degrees of a cell: at first, and after it was cut in four, again and again. Smaller ones take
#: longer to make than they save: about a second, and three for the points of a month of 2009.
_FIRST_CELL = 0.0064
_CUTS = 4
#: Cells are tested with so much around them, so that no rounding moves a point to a wrong cell.
_MARGIN = 1e-9


class ZoneGrid:
    """Cells over all zones. One that lies in a zone, or in none, answers for all of its points.

    In a cell with a border, each point is tested against the shapes that reach into it.
    """

    def __init__(self, shapes: Mapping[int, "BaseGeometry"]) -> None:
        """Make the grid of shapes in degrees, by number of the zone."""
        import shapely  # takes its time to import, and only two years have coordinates

        self._shapely = shapely
        self._ids = np.array(sorted(shapes), np.int16)
        self._shapes = np.array([shapes[number] for number in self._ids.tolist()])
        shapely.prepare(self._shapes)
        self._left, self._bottom, right, top = shapely.total_bounds(self._shapes)
        across = int((right - self._left) / _FIRST_CELL) + 1
        up = int((top - self._bottom) / _FIRST_CELL) + 1
        self._step = _FIRST_CELL / 2**_CUTS
        #: Of each cell, the zone; 0 for none; below 0, which of the candidates are there.
        self._cells = np.zeros((up << _CUTS, across << _CUTS), np.int32)
        self._candidates = self._fill(across, up)

    def find(
        self, longitudes: npt.NDArray[np.float64], latitudes: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int16]:
        """Find the number of each point's zone; on a border of several, the lowest one.

        Degrees that are missing are NaN. Outside of all zones the number is 0.
        """
        up, across = self._cells.shape
        columns = (longitudes - self._left) / self._step
        rows = (latitudes - self._bottom) / self._step
        # false for NaN
        is_inside = (columns >= 0) & (columns < across) & (rows >= 0) & (rows < up)
        found = np.zeros(len(longitudes), np.int32)
        found[is_inside] = self._cells[rows[is_inside].astype(int), columns[is_inside].astype(int)]
        points = np.flatnonzero(found < 0)
        candidates = self._candidates[-found[points] - 1]
        found[points] = 0
        for place in range(candidates.shape[1]):
            is_one = candidates[:, place] >= 0
            points, candidates = points[is_one], candidates[is_one]
            zones = candidates[:, place]
            covers = self._shapely.intersects_xy(
                self._shapes[zones], longitudes[points], latitudes[points]
            )
            found[points[covers]] = self._ids[zones[covers]]
            points, candidates = points[~covers], candidates[~covers]
        return found.astype(np.int16)

    def _fill(self, across: int, up: int) -> npt.NDArray[np.intp]:
        """Fill the cells; return the sets of zones whose borders share one.

        A set is of places in the list of shapes, in order, filled up with -1.
        """
        columns, rows = (each.ravel() for each in np.meshgrid(np.arange(across), np.arange(up)))
        boxes = self._boxes(columns, rows, _FIRST_CELL)
        tree = self._shapely.STRtree(self._shapes)
        cells, zones = tree.query(boxes, predicate="intersects")
        columns, rows = columns[cells], rows[cells]
        for cut in range(_CUTS + 1):
            boxes = self._boxes(columns, rows, _FIRST_CELL / 2**cut)
            is_in = self._shapely.covers(self._shapes[zones], boxes)
            size = 1 << (_CUTS - cut)
            whole = zip(columns[is_in] * size, rows[is_in] * size, zones[is_in], strict=True)
            for left, bottom, zone in whole:
                square = self._cells[bottom : bottom + size, left : left + size]
                is_first = (square == 0) | (square > self._ids[zone])
                square[is_first] = self._ids[zone]
            is_cut = ~is_in & self._shapely.intersects(self._shapes[zones], boxes)
            columns, rows, zones = columns[is_cut], rows[is_cut], zones[is_cut]
            if cut < _CUTS:
                columns = (columns * 2 + np.array([[0], [1], [0], [1]])).ravel()
                rows = (rows * 2 + np.array([[0], [0], [1], [1]])).ravel()
                zones = np.tile(zones, 4)
        cells = rows * self._cells.shape[1] + columns
        # A cell with a border may lie in another zone as a whole.
        around = np.unique(cells[self._cells.flat[cells] > 0])
        zones = np.append(zones, np.searchsorted(self._ids, self._cells.flat[around]))
        return self._mark_borders(np.append(cells, around), zones)

    def _mark_borders(
        self, cells: npt.NDArray[np.intp], zones: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.intp]:
        """Point each cell with a border to its zones; return the sets of zones."""
        order = np.lexsort((zones, cells))
        cells, firsts, counts = np.unique(cells[order], return_index=True, return_counts=True)
        of_cells = np.full((len(cells), counts.max(initial=0)), -1)
        place = np.arange(len(order)) - np.repeat(firsts, counts)
        of_cells[np.repeat(np.arange(len(cells)), counts), place] = zones[order]
        sets, number = np.unique(of_cells, axis=0, return_inverse=True)
        self._cells.flat[cells] = -1 - number
        return sets

    def _boxes(
        self, columns: npt.NDArray[np.intp], rows: npt.NDArray[np.intp], step: float
    ) -> npt.NDArray[np.object_]:
        left, bottom = self._left + columns * step, self._bottom + rows * step
        return self._shapely.box(
            left - _MARGIN, bottom - _MARGIN, left + step + _MARGIN, bottom + step + _MARGIN
        )


def open_grid(settings: Settings, month: Month) -> ZoneGrid | None:
    """Return the grid for a month's coordinates; None when it has none, or no shapes are kept."""
    if not get_dataset(month.dataset).needs_shapes(month.month):
        return None
    from loader.source import shapes

    found = shapes.kept(settings)
    return _grid_of(found) if found else None


@lru_cache(1)
def _grid_of(shapes: "Shapes") -> ZoneGrid:
    return ZoneGrid({number: zone.shape for number, zone in shapes.zones.items()})
