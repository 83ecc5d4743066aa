"""Trace a small antialiased bitmap of a line drawing into polylines.

The only package with Quick, Draw! drawings holds 28x28 bitmaps, no strokes. This recovers
centre lines: upsample, threshold, thin to a skeleton, read the skeleton as a graph of nodes and
pixel paths, repair what thinning breaks, join paths that go straight on through a crossing,
simplify. The order of strokes and their direction are not the drawer's.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import approximate_polygon
from skimage.morphology import remove_small_objects, skeletonize

SCALE = 8  # upsampling factor: one bitmap pixel is 8 skeleton pixels
LEVEL = 0.28  # ink threshold on empty paper: higher tears faint lines
CROWD = 0.42  # rise of the threshold with the ink around, which opens small eyes
AROUND = 1.5  # bitmap pixels: standard deviation of what counts as around
SPUR = 1.5  # bitmap pixels: shorter dead ends at a junction are artefacts of thinning
BRIDGE = 1.3  # bitmap pixels: two junctions this close are one crossing
SPECK = 1.0  # bitmap pixels of ink area: smaller blobs are noise
SMOOTH = 0.55  # bitmap pixels: standard deviation of smoothing along a path
TOLERANCE = 2.0  # of 255 units: Quick, Draw!'s own simplification tolerance
STRAIGHT = -0.5  # cosine between two ends at a crossing: beyond, they are one line
NEIGHBOURS = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]

Drawing = list[list[list[int]]]
Pixel = tuple[int, int]


@dataclass
class _Graph:
    """Node positions and paths (node, node, points from the first to the second)."""

    nodes: list[np.ndarray] = field(default_factory=list)
    paths: list[tuple[int, int, np.ndarray]] = field(default_factory=list)

    def degree(self) -> np.ndarray:
        """Number of path ends at each node (a loop counts twice)."""
        ends = [end for first, last, _ in self.paths for end in (first, last)]
        return np.bincount(ends, minlength=len(self.nodes))


def _length(points: np.ndarray) -> float:
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def _skeleton(bitmap: np.ndarray) -> np.ndarray:
    """Upsample, threshold and thin a bitmap."""
    bitmap = bitmap.astype(np.float32)
    # Lines along the border are cut in half: raise what is left of them and mirror it.
    border = np.pad(np.zeros(tuple(n - 2 for n in bitmap.shape), bool), 1, constant_values=True)
    bitmap = np.pad(np.where(border, np.minimum(4 * bitmap, 1), bitmap), 1, mode="symmetric")
    size = (bitmap.shape[1] * SCALE, bitmap.shape[0] * SCALE)
    image, around = (
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        for plane in (bitmap, ndimage.gaussian_filter(bitmap, AROUND))
    )
    ink = ndimage.gaussian_filter(image, 0.25 * SCALE) > LEVEL + CROWD * around
    ink = remove_small_objects(ink, max_size=int(SPECK * SCALE**2))
    return skeletonize(np.pad(ink, 1))


def _graph(skeleton: np.ndarray) -> _Graph:
    """Read a one-pixel-wide skeleton as nodes and paths."""
    pixels = {(int(r), int(c)) for r, c in np.argwhere(skeleton)}

    @cache
    def near(pixel: Pixel) -> list[Pixel]:
        steps = [(pixel[0] + dr, pixel[1] + dc) for dr, dc in NEIGHBOURS]
        side = [step for step in steps[:4] if step in pixels]
        # A diagonal step beside a straight one would be a shortcut around the same corner.
        return side + [
            step
            for step in steps[4:]
            if step in pixels
            and (step[0], pixel[1]) not in side
            and (pixel[0], step[1]) not in side
        ]

    graph = _Graph()
    special = np.zeros_like(skeleton)
    for pixel in pixels:
        special[pixel] = len(near(pixel)) != 2
    labels, count = ndimage.label(special, np.ones((3, 3)))
    places, owners = np.argwhere(special), labels[special] - 1
    node_of = {(int(r), int(c)): int(owner) for (r, c), owner in zip(places, owners, strict=True)}
    graph.nodes = [places[owners == node].mean(axis=0) for node in range(count)]
    used = set(node_of)

    def walk(start: Pixel, step: Pixel) -> None:
        first, points = node_of[start], [graph.nodes[node_of[start]]]
        while step not in node_of:  # every such pixel has exactly two neighbours
            used.add(step)
            points.append(np.array(step, dtype=float))
            ahead = [pixel for pixel in near(step) if pixel != start]
            start, step = step, ahead[0]
        last = node_of[step]
        graph.paths.append((first, last, np.array([*points, graph.nodes[last]])))

    for pixel in sorted(node_of):
        for step in near(pixel):
            if step not in used:
                walk(pixel, step)
    for pixel in sorted(pixels - used):  # closed curves have no node of their own
        if pixel not in used:
            node_of[pixel] = len(graph.nodes)
            graph.nodes.append(np.array(pixel, dtype=float))
            used.add(pixel)
            walk(pixel, near(pixel)[0])
    for node in np.flatnonzero(graph.degree() == 0):  # dots
        graph.paths.append((int(node), int(node), np.array([graph.nodes[node]] * 2)))
    return graph


def _prune(graph: _Graph) -> None:
    """Remove short dead ends at junctions, shortest first."""
    while True:
        degree = graph.degree()
        spurs = [
            (_length(points), index)
            for index, (first, last, points) in enumerate(graph.paths)
            if min(degree[first], degree[last]) == 1 and max(degree[first], degree[last]) >= 3
        ]
        if not spurs or min(spurs)[0] >= SPUR * SCALE:
            return
        graph.paths.pop(min(spurs)[1])


def _collapse(graph: _Graph) -> None:
    """Turn two junctions joined by a very short path into one crossing."""
    while True:
        degree = graph.degree()
        bridges = [
            (_length(points), index)
            for index, (first, last, points) in enumerate(graph.paths)
            if first != last and min(degree[first], degree[last]) >= 3
        ]
        if not bridges or min(bridges)[0] >= BRIDGE * SCALE:
            return
        keep, drop, _ = graph.paths.pop(min(bridges)[1])
        centre = (graph.nodes[keep] + graph.nodes[drop]) / 2
        graph.nodes[keep] = centre
        for index, (first, last, points) in enumerate(graph.paths):
            if {first, last} & {keep, drop}:
                points = points.copy()
                points[0 if first in (keep, drop) else -1] = centre
                points[-1 if last in (keep, drop) else 0] = centre
                first, last = (keep if end == drop else end for end in (first, last))
                graph.paths[index] = (first, last, points)


def _heading(points: np.ndarray) -> np.ndarray:
    """Unit vector in which a path leaves its first point."""
    reach = min(int(2.5 * SCALE), len(points) - 1)
    step = points[reach] - points[0]
    return step / max(float(np.hypot(*step)), 1e-9)


def _join(graph: _Graph) -> list[np.ndarray]:
    """Join paths through nodes where the drawing plainly goes on."""
    ends: dict[int, list[tuple[int, int]]] = {}
    for index, (first, last, _) in enumerate(graph.paths):
        ends.setdefault(first, []).append((index, 0))
        ends.setdefault(last, []).append((index, 1))
    heading = {
        (index, side): _heading(points[::-1] if side else points)
        for index, (_, _, points) in enumerate(graph.paths)
        for side in (0, 1)
    }
    mate: dict[tuple[int, int], tuple[int, int]] = {}
    for group in ends.values():
        pairs = sorted(
            (float(heading[a] @ heading[b]), a, b) for a in group for b in group if a < b
        )
        for cosine, a, b in pairs:
            if a not in mate and b not in mate and (len(group) == 2 or cosine < STRAIGHT):
                mate[a], mate[b] = b, a
    lines, done = [], set()
    open_ends = [end for group in ends.values() for end in group if end not in mate]
    for start in open_ends + sorted(mate):  # what is left after the open ends is closed
        if start[0] in done:
            continue
        chain, end = [], start
        while end is not None and end[0] not in done:
            done.add(end[0])
            points = graph.paths[end[0]][2]
            chain.append(points[::-1] if end[1] else points)
            end = mate.get((end[0], 1 - end[1]))
        lines.append(np.concatenate([chain[0], *(points[1:] for points in chain[1:])]))
    return lines


def _smooth(line: np.ndarray) -> np.ndarray:
    closed = len(line) > 3 and np.allclose(line[0], line[-1])
    mode = "wrap" if closed else "nearest"
    ring = line[:-1] if closed else line
    smooth = ndimage.gaussian_filter1d(ring, SMOOTH * SCALE, axis=0, mode=mode)
    if closed:
        return np.concatenate([smooth, smooth[:1]])
    smooth[[0, -1]] = line[[0, -1]]  # smoothing would shorten the ends
    return smooth


def trace(bitmap: np.ndarray) -> Drawing:
    """Trace a bitmap into strokes in Quick, Draw!'s simplified format.

    Args:
        bitmap: Ink per pixel in 0..1, shape ``(height, width)``.

    Returns:
        Strokes ``[[xs], [ys]]``, longest first, integers in 0..255; the drawing touches the left
        and the upper edge and its longer side spans 0..255. Empty if there is no ink.
    """
    skeleton = _skeleton(bitmap)
    if not skeleton.any():
        return []
    graph = _graph(skeleton)
    _prune(graph)
    _collapse(graph)
    _prune(graph)
    lines = sorted((_smooth(line) for line in _join(graph)), key=_length, reverse=True)
    units = 255.0 / max(float(np.ptp(np.concatenate(lines), axis=0).max()), 1e-9)
    lines = [approximate_polygon(line, TOLERANCE / units) for line in lines]
    corners = np.concatenate(lines)
    scale = 255.0 / max(float(np.ptp(corners, axis=0).max()), 1e-9)
    drawing: Drawing = []
    for line in lines:
        points = np.rint((line - corners.min(axis=0)) * scale).astype(int)
        fresh = np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]
        points = points[fresh] if fresh.sum() > 1 else points[[0, 0]]
        drawing.append([points[:, 1].tolist(), points[:, 0].tolist()])
    return drawing
