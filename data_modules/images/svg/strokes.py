"""Strokes of SVG files: what a browser would show of them, sampled as points."""

from xml.etree import ElementTree

import numpy as np

from data_modules.images.render import check_drawing
from data_modules.images.svg.curves import sample
from data_modules.images.svg.declarations import tag
from data_modules.images.svg.regions import cut
from data_modules.images.svg.scene import FLATNESS, Scene
from data_modules.images.svg.shape import Shape
from data_modules.images.svg.style import PLAIN, style_of
from data_modules.images.svg.tree import Tree


def svg_strokes(data: bytes) -> list[np.ndarray]:
    """Strokes that are seen in an SVG file, float32 arrays of points.

    Ink is what is stroked; a file without strokes gives the outlines of what is filled. What is
    hidden, off the page, clipped away, covered by a later fill, has a width of 0, is used as a
    mask, marker, clip path or pattern alone, or is nearly as what is behind it (``FAINTEST``:
    transparent, white on white) is no ink. The paper is white, or as the style of the page says. A
    stroke of which a part is covered or like its ground is kept whole, as are dashed ones.

    Raises:
        ValueError: If nothing is seen, what is seen cannot be told, or it is no SVG file.
    """
    root = ElementTree.fromstring(data)
    if tag(root) != "svg":
        raise ValueError(f"it is no SVG file, its root is <{tag(root):.40}>")
    tree = Tree(root)
    shapes, area = tree.shapes()
    paper = style_of(tree.declared[root], PLAIN).background()
    inked, what = Scene(shapes, area, paper).ink()
    strokes = [(shape, stroke) for shape in inked for stroke in shape.curves]
    if not strokes:
        raise ValueError("it draws no stroke that can be seen")
    controls = np.concatenate([curve for _, stroke in strokes for curve in stroke])
    tolerance = FLATNESS * float(np.ptp(controls, axis=0).max())
    lines = [
        line
        for shape, stroke in strokes
        for line in _within(shape, sample(stroke, tolerance), what)
    ]
    if not lines:
        raise ValueError("it draws no stroke that can be seen")
    check_drawing([points.T.tolist() for points in lines], extent=None)
    return [points.astype(np.float32) for points in lines]


def _within(shape: Shape, points: np.ndarray, what: str) -> list[np.ndarray]:
    """Parts of a stroke that its clip paths and the page leave."""
    lines = [points]
    for region in shape.regions:
        reach = shape.reach if what == "stroke" else 0.0
        lines = [part for line in lines for part in cut(line, region, reach)]
    return lines
