"""Errors behind an error, and the code that raised them."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any

_OWN = ("sketchclip", "data_modules")


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what is behind it; not what was at hand when our own code failed."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        behind = cause.__cause__
        ours = raised_in(cause).partition(".")[0] in _OWN
        if behind is None and not cause.__suppress_context__ and not ours:
            behind = cause.__context__
        cause = behind


def raised_in(error: BaseException) -> str:
    """Name of the module that raised an error; empty where it was not raised."""
    return next((str(frame.f_globals.get("__name__", "")) for frame in frames(error)), "")


def frames(error: BaseException) -> Iterator[Any]:
    """Frames of a traceback, where it was raised first."""
    found, step = [], error.__traceback__
    while isinstance(step, TracebackType):
        found.append(step.tb_frame)
        step = step.tb_next
    return reversed(found)
