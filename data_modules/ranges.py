"""Ranges of numbers, as part of the types of arguments: one check for flags, configs and Python."""

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, get_args

from typing_extensions import Self

from sketchclip.errors import SketchClipError

_MOST = 2**31 - 1
"""Largest whole number that every library takes; it stands for no upper end."""


@dataclass(frozen=True, repr=False)
class Range:
    """Finite numbers between two ends, which belong to it unless ``open_low`` or ``open_high``.

    >>> Range(1), Range(0, 1), Range(0, open_low=True), Range(0, 1, open_high=True)
    (at least 1, 0 to 1, more than 0, at least 0 and below 1)
    >>> 1.0 in Range(0, 1), 1.0 in Range(0, 1, open_high=True), math.nan in Range()
    (True, False, False)
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: Any) -> bool:
        """Whether a number is finite and between the ends."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        try:
            return bool(above and below and math.isfinite(value))
        except OverflowError:  # a whole number beyond all floats
            return False

    def __repr__(self) -> str:
        """The range in words, which help shows beside the type."""
        if math.isfinite(self.low) and self.high < _MOST:
            if not self.open_low and not self.open_high:
                return f"{self.low:.15g} to {self.high:.15g}"
            last = "below" if self.open_high else "at most"
            return f"{self._from()} and {last} {self.high:.15g}"
        return self._from() if math.isfinite(self.low) else "a finite number"

    def _from(self) -> str:
        return f"{'more than' if self.open_low else 'at least'} {self.low:.15g}"


Count = Annotated[int, Range(1, _MOST)]
Natural = Annotated[int, Range(0, _MOST)]
Port = Annotated[int, Range(0, 2**16 - 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Positive = Annotated[float, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Finite = Annotated[float, Range()]
Part = Annotated[float, Range(0, 1)]
"""0 to 1, both included."""
NotAll = Annotated[float, Range(0, 1, open_high=True)]
SomePart = Annotated[float, Range(0, 1, open_low=True)]
TruePart = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
Cosine = Annotated[float, Range(-1, 1)]


def range_error(annotation: Any, value: Any) -> str | None:
    """Say what a value should have been; None where it is right, or where no range is named.

    Args:
        annotation: Type such as ``Count``, ``Count | None``, ``Literal["clip"] | Positive`` or
            ``tuple[Part, Part]``.
        value: Value of the argument; what is no number is left to the check of types.

    >>> range_error(Count | None, 0), range_error(Count | None, None)
    ('expected at least 1, found 0', None)
    >>> range_error(Part | Natural, 1.5)
    'expected 0 to 1 or a whole number, at least 0, found 1.5'
    """
    ranges = list(_ranges(annotation))
    for number in _numbers(value) if ranges else ():
        whole = isinstance(number, Integral)
        if not any(number in limits and (whole or kind is not int) for kind, limits in ranges):
            words = [
                f"a whole number, {limits}" if kind is int and (ranges[1:] or not whole) else limits
                for kind, limits in ranges
            ]
            if whole and number > _MOST:
                words = ["a number of 32 bits"]
            return f"expected {' or '.join(map(str, words))}, found {number}"
    return None


def _ranges(annotation: Any) -> Iterator[tuple[type, Range]]:
    """Each range with the type of its numbers."""
    parts = get_args(annotation)
    if parts[1:] and isinstance(parts[1], Range):
        yield parts[0], parts[1]
        return
    for part in parts:
        yield from _ranges(part)


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, Real) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)


def check_arguments(constructor: Any, values: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse arguments of a class outside the ranges that its constructor's types name.

    Args:
        constructor: Class.
        values: Arguments by name.
        prefix: What a user types before the name of an argument; empty in Python.

    Raises:
        SketchClipError: Names the argument, the range and the value.
    """
    parameters = inspect.signature(constructor.__init__).parameters
    for name, value in values.items():
        wrong = range_error(parameters[name].annotation, value) if name in parameters else None
        if wrong:
            told = f"{prefix}{name}" if prefix else f"{name} of {constructor.__name__}"
            raise SketchClipError(f"{told}: {wrong}.")


class CheckedArguments:
    """Base of classes whose numbers are checked before their constructor does anything."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check what is given; defaults are right, and a copy is made without arguments."""
        try:
            given = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs)
        except TypeError:
            return super().__new__(cls)  # the constructor says it better
        check_arguments(cls, given.arguments)
        return super().__new__(cls)
