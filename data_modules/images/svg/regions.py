"""Regions of the plane: cut lines to a convex one, and tell which points lie in a polygon."""

import numpy as np

Polygon = np.ndarray
"""Corners, shape (n, 2)."""

_ROUNDING = 0.002
"""Share of a region's size by which lines may leave it: exports round, which cuts no rim."""

_AT_ONCE = 1_000_000  # comparisons, some tens of MB


def box(x: float, y: float, width: float, height: float) -> Polygon:
    """A rectangle."""
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def is_convex(polygon: Polygon) -> bool:
    """Whether a polygon is convex and has an area."""
    edges = np.diff(polygon, axis=0, append=polygon[:1])
    edges = edges[np.abs(edges).max(axis=1) > 0]
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    small = 1e-6 * np.abs(turns).max(initial=0.0)
    # One turn around: a star turns one way, too, but more often.
    angles = np.arctan2(turns, (edges * following).sum(axis=1))
    return small > 0 and bool(
        ((turns >= -small).all() or (turns <= small).all()) and abs(angles.sum()) < 6.5
    )


def contains(polygons: list[Polygon], points: np.ndarray, by_winding: bool = True) -> np.ndarray:
    """Which points lie in closed polygons, by winding number or by even and odd."""
    starts = np.concatenate(polygons)
    ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    (x0, y0), (dx, dy) = starts.T, (ends - starts).T
    y1 = ends[:, 1]
    winding: np.ndarray = np.zeros(len(points), int)
    many = max(_AT_ONCE // len(starts), 1)
    for first in range(0, len(points), many):
        x, y = points[first : first + many, :, None].transpose(1, 0, 2)
        side = dx * (y - y0) - (x - x0) * dy
        upward = (y0 <= y) & (y < y1) & (side > 0)
        downward = (y1 <= y) & (y < y0) & (side < 0)
        winding[first : first + many] = upward.sum(axis=1) - downward.sum(axis=1)
    inside: np.ndarray = winding != 0 if by_winding else winding % 2 != 0
    return inside


def cut(points: np.ndarray, region: Polygon, margin: float) -> list[np.ndarray]:
    """Parts of a line of points within a convex region.

    Args:
        points: Shape (n, 2).
        region: A convex polygon.
        margin: Distance from the region up to which the line stays: half the width of the pen, of
            which that much is seen.
    """
    normals = _normals(region)
    if not len(normals):
        return []
    margin = max(margin, _ROUNDING * float(np.ptp(region, axis=0).max()))
    offsets = ((points[:, None] - region) * normals).sum(axis=2) - margin
    if (offsets <= 0).all():
        return [points]
    if (offsets > 0).all(axis=0).any():
        return []
    if len(points) == 1:
        return []
    return _joined(points, *_within(offsets))


def _normals(region: Polygon) -> np.ndarray:
    """Outward unit normals of the edges; none of a region without an area."""
    edges = np.diff(region, axis=0, append=region[:1])
    x, y = region.T
    area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    if not area:
        return np.zeros((0, 2))
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) * np.sign(area)
    lengths = np.hypot(*normals.T)[:, None]
    return np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)


def _within(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From which to which share of each piece a line is inside (Liang and Barsky)."""
    here, there = offsets[:-1], offsets[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = here / (here - there)
    enters = np.where((here > 0) & (there <= 0), crossing, 0.0).max(axis=1)
    leaves = np.where((here <= 0) & (there > 0), crossing, 1.0).min(axis=1)
    outside = ((here > 0) & (there > 0)).any(axis=1)
    return enters, np.where(outside, -1.0, leaves)


def _joined(points: np.ndarray, enters: np.ndarray, leaves: np.ndarray) -> list[np.ndarray]:
    """Pieces that are inside; those that follow each other as one line, around a loop, too."""
    lines: list[list[np.ndarray]] = []
    goes_on = False
    for here, there, enter, leave in zip(points[:-1], points[1:], enters, leaves, strict=True):
        is_inside = enter < leave
        if is_inside and not (goes_on and enter == 0):
            lines.append([here + enter * (there - here)])
        if is_inside:
            lines[-1].append(here + leave * (there - here) if leave < 1 else there)
        goes_on = is_inside and leave == 1
    if len(lines) > 1 and (lines[-1][-1] == lines[0][0]).all() and (points[0] == points[-1]).all():
        lines[0] = lines.pop() + lines[0][1:]
    return [np.array(line) for line in lines]
