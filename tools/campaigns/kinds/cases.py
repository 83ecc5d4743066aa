"""What a kind of input is: a maker of cases, each one changed file and what is done with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Fixtures:
    """Valid inputs that take long to make.

    Attributes:
        data: Dataset, ``sketch/<class>`` and ``photo/<class>``.
        run: Folder of a training of a tiny model, with its test.
        other: A second folder of results on the same queries.
        index: Index of the photos of ``data``.
    """

    data: Path
    run: Path
    other: Path
    index: Path


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        done: What was changed, in words.
        data: Content of the changed file.
        attempt: Gives such a content to the product; raises
            :class:`~tools.campaigns.observe.WrongResultError` if the result is not the right one.
        names: A refusal has to contain one of these.
    """

    done: str
    data: bytes
    attempt: Callable[[bytes], None]
    names: tuple[str, ...] = ()


Maker = Callable[[Random, Fixtures, Path], Case]
"""Makes a case from chance, the valid inputs, and an empty folder of its own."""
