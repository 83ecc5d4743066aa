"""Which shapes of a drawing are seen: on what ground they lie, and what is painted over them."""

from functools import cached_property

import numpy as np

from data_modules.images.render import LARGEST
from data_modules.images.svg.curves import sample
from data_modules.images.svg.regions import Polygon, box, contains, cut, is_convex
from data_modules.images.svg.shape import Shape
from data_modules.images.svg.values import FAINTEST, Color

FLATNESS = 0.001
"""Largest distance of a sampled curve from the true one, as a share of the drawing's size."""

_MOST_WORK = 300_000_000
"""Comparisons of points with edges of fills, some seconds of work; sketches need far less."""

_EACH = 5000  # what a comparison costs beside that
_PIECES = 32  # into which a line is cut at least, so that a fill over its middle is found
_INWARD = 1e-3
_WHITE = (255.0, 255.0, 255.0)


class Scene:
    """Shapes over each other.

    Args:
        shapes: In the order in which they are painted.
        area: The page; None without a size.
        paper: Color that is behind everything, None for white by default.
    """

    def __init__(self, shapes: list[Shape], area: Polygon | None, paper: Color | None) -> None:
        self._shapes = [shape for shape in shapes if shape.stroke or shape.fill]
        self._area, self._paper = area, paper
        self._outlines: dict[int, list[Polygon]] = {}
        self._work = 0
        self._boxes = np.array([_box(shape) for shape in self._shapes]).reshape(-1, 4)
        if not (np.abs(self._boxes) <= LARGEST).all():  # also of NaN
            raise ValueError(f"a coordinate of it is outside {-LARGEST:g}..{LARGEST:g}")

    def ink(self) -> tuple[list[Shape], str]:
        """Shapes that are seen, and whether their ``stroke`` or ``fill`` is.

        Raises:
            ValueError: If it cannot be told what is seen of one of them.
        """
        fills = {at for at, shape in enumerate(self._shapes) if shape.fill and not shape.problem}
        strokes = [at for at, shape in enumerate(self._shapes) if shape.stroke]
        inked, what = self._seen(strokes, "stroke", fills), "stroke"
        if not inked and strokes and self._paper is None:
            # A page whose color stands elsewhere, and is black here, hides nothing.
            inked = self._seen(strokes, "stroke", fills - self._pages, over=fills)
        if not inked:
            filled = [at for at, shape in enumerate(self._shapes) if shape.fill]
            others = [at for at in filled if at not in self._pages]
            inked, what = self._seen(others, "fill", fills), "fill"
        for shape in inked:
            if shape.problem:
                raise ValueError(
                    f"its {shape.problem} decides what is seen, which is not understood; flatten "
                    "the drawing: export it as plain SVG or PNG"
                )
        return inked, what

    def _seen(
        self, candidates: list[int], what: str, under: set[int], over: set[int] | None = None
    ) -> list[Shape]:
        grounds, covers = (np.array(sorted(s), int) for s in (under, over or under))
        return [self._shapes[at] for at in candidates if self._is_seen(at, what, grounds, covers)]

    def _is_seen(self, at: int, what: str, grounds: np.ndarray, covers: np.ndarray) -> bool:
        """Whether any point of a shape's line differs from its ground and is not covered."""
        shape = self._shapes[at]
        low, high = self._boxes[at, :2], self._boxes[at, 2:]
        below = self._touching(grounds[grounds < at], low, high)
        above = self._touching(covers[covers > at], low, high)
        self._take_account(len(grounds) + len(covers))
        points = self._probes(at, what, len(below) + len(above) > 0)
        if not len(points):
            return False
        # What covers a rim lies within it, and its ground is around it.
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        step = (_INWARD if what == "fill" else 0.0) * (middle - points)
        left = np.ones(len(points))
        for other in above:
            alpha = min(alpha for _, alpha in self._shapes[other].fill)
            left[self._covered(other, points + step)] *= 1 - alpha
            if left.max() < FAINTEST:
                return False
        ground = self._ground(below, points - step)
        return any(
            float((alpha * left * np.abs(ground - color).max(axis=1)).max()) >= FAINTEST * 255
            for color, alpha in (shape.stroke if what == "stroke" else shape.fill)
        )

    def _ground(self, below: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Colors under points, from the uppermost fill down to the first that is opaque."""
        ground, left = np.zeros((len(points), 3)), np.ones(len(points))
        for other in below[::-1]:
            (color, alpha), inside = self._shapes[other].fill[0], self._covered(other, points)
            ground[inside] += alpha * left[inside, None] * np.array(color)
            left[inside] *= 1 - alpha
            if not left.any():
                break
        return ground + left[:, None] * np.array(self._paper or _WHITE)

    def _touching(self, others: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Those of the shapes whose boxes overlap a box."""
        boxes = self._boxes[others]
        return others[((boxes[:, :2] <= high) & (boxes[:, 2:] >= low)).all(axis=1)]

    def _covered(self, at: int, points: np.ndarray) -> np.ndarray:
        """Which points the fill of a shape covers."""
        shape, outline = self._shapes[at], self._outline(at)
        self._take_account(_EACH + len(points) * sum(map(len, outline)))
        inside = contains(outline, points, shape.by_winding)
        for region in shape.regions:
            if region is not self._area:  # beyond which there are no points
                inside &= contains([region], points)
        return inside

    def _outline(self, at: int) -> list[Polygon]:
        if at not in self._outlines:
            self._outlines[at] = _lines(self._shapes[at])
        return self._outlines[at]

    def _lies_in(self, at: int, region: Polygon) -> bool:
        """Whether a shape lies in the page: no need to cut it."""
        if region is not self._area:
            return False
        box_, (low, high) = self._boxes[at], (region.min(axis=0), region.max(axis=0))
        return bool((low <= box_[:2]).all() and (box_[2:] <= high).all())

    def _take_account(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            raise ValueError(
                "too many filled shapes lie over each other to tell what is seen; simplify it"
            )

    def _probes(self, at: int, what: str, is_close: bool) -> np.ndarray:
        """Points of a shape's line that its page and clip paths leave.

        Args:
            at: Place of the shape.
            what: Whether its stroke or the rim of its fill is looked at.
            is_close: Whether other shapes need them along the whole line.
        """
        shape = self._shapes[at]
        reach = shape.reach if what == "stroke" else 0.0
        regions = [region for region in shape.regions if not self._lies_in(at, region)]
        lines = self._outline(at) if is_close or regions else shape.curves[0][:1]
        for region in regions:
            lines = [part for line in lines for part in cut(line, region, reach)]
        if not lines or not is_close:
            return np.concatenate(lines)[:1] if lines else np.zeros((0, 2))
        points = np.concatenate([_along(line) for line in lines])
        return points

    @cached_property
    def _pages(self) -> set[int]:
        """Filled rectangles that cover the page, or all other shapes where it has no size."""
        found = set()
        for at, shape in enumerate(self._shapes):
            if not shape.fill or len(shape.curves) != 1 or len(shape.curves[0]) > 5:
                continue
            whole = self._area
            if whole is None:
                others = np.delete(self._boxes, at, axis=0)
                if not len(others):
                    continue
                low, high = others[:, :2].min(axis=0), others[:, 2:].max(axis=0)
                whole = box(low[0], low[1], *(high - low))
            outline = self._outline(at)
            inner = whole + _INWARD * (whole.mean(axis=0) - whole)
            if is_convex(outline[0]) and contains(outline, inner).all():
                found.add(at)
        return found


def _box(shape: Shape) -> tuple[float, ...]:
    points = np.concatenate([curve for stroke in shape.curves for curve in stroke])
    return (*points.min(axis=0), *points.max(axis=0))


def _lines(shape: Shape) -> list[np.ndarray]:
    """Strokes of a shape as points."""
    x0, y0, x1, y1 = _box(shape)
    tolerance = FLATNESS * max(x1 - x0, y1 - y0)
    return [sample(stroke, tolerance) for stroke in shape.curves]


def _along(line: np.ndarray) -> np.ndarray:
    """Points evenly within the pieces of a line, not at their ends, where it may touch others."""
    if len(line) < 2:
        return line
    parts = max(_PIECES // (len(line) - 1), 1)
    where = (np.arange(parts) + 0.5)[:, None, None] / parts
    return ((1 - where) * line[:-1] + where * line[1:]).reshape(-1, 2)
