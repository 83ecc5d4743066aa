"""A shape that is drawn, and what holds for it by the elements around it."""

from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from data_modules.images.svg.curves import Curves
from data_modules.images.svg.paint import Paint
from data_modules.images.svg.regions import Polygon
from data_modules.images.svg.style import Style


@dataclass(frozen=True)
class Shape:
    """A shape that is drawn.

    Attributes:
        curves: Its outline, in pixels of the page.
        stroke: Colors of its stroke with their opacity, several of a gradient; none without.
        fill: Those of its fill.
        reach: Half the width of its stroke.
        regions: Convex polygons outside of which it is not seen.
        by_winding: Whether its fill is decided by winding number.
        problem: Why it cannot be told what is seen of it; empty where it can.
    """

    curves: Curves
    stroke: list[Paint]
    fill: list[Paint]
    reach: float
    regions: tuple[Polygon, ...]
    by_winding: bool
    problem: str


@dataclass(frozen=True)
class State:
    """What holds for an element by those around it.

    Attributes:
        style: Their values.
        matrix: From its coordinates to pixels of the page.
        viewport: Width and height that percentages refer to.
        opacity: Theirs together.
        regions: As of a shape.
        problem: As of a shape.
        path: They themselves, with the clones among them.
        is_clone: Whether a clone is among them.
    """

    style: Style
    matrix: Any
    viewport: tuple[float, float]
    opacity: float = 1.0
    regions: tuple[Polygon, ...] = ()
    problem: str = ""
    path: tuple[Element, ...] = ()
    is_clone: bool = False


def transformed(points: np.ndarray, matrix: Any) -> np.ndarray:
    """Points in pixels of the page."""
    a, b, c, d, e, f = numbers(matrix)
    return points @ np.array([(a, b), (c, d)]) + (e, f)


def numbers(matrix: Any) -> tuple[float, ...]:
    """The six numbers of a transform."""
    try:
        return tuple(float(getattr(matrix, name)) for name in "abcdef")
    except (TypeError, ValueError) as error:  # a shift in per cent
        raise ValueError("a transform of it is not in numbers; write it in px") from error
