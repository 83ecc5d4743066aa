"""Call the product in this process, and say how it ended."""

import io
import re
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from sketchclip.errors import SketchClipError

PREFIX = "sketchclip: error:"


class WrongResultError(Exception):
    """A result that differs from an independent one."""


@dataclass(frozen=True)
class Observed:
    """How a call ended.

    Attributes:
        outcome: One of :data:`tools.campaigns.log.OUTCOMES`.
        message: What was said.
        place: Type of the exception and where it was raised; faults of one place are one fault.
        details: Traceback, or all of stderr.
    """

    outcome: str
    message: str = ""
    place: str = ""
    details: str = ""


@dataclass(frozen=True)
class Report:
    """End of a trial of any part.

    Attributes:
        done: What was done.
        observed: How it ended.
        seconds: Duration.
        data: Input to keep, if it is a fault.
    """

    done: str
    observed: Observed
    seconds: float
    data: bytes | None = None


def observe(attempt: Callable[[], object], named: Sequence[str] = ()) -> Observed:
    """Call something and classify its end.

    Args:
        attempt: Does the work, and raises :class:`WrongResultError` if a check fails.
        named: A refusal has to contain one of these texts; empty for no such rule.

    Returns:
        The outcome.
    """
    errors = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            attempt()
    except WrongResultError as error:
        return Observed("wrong", str(error), f"wrong {general(str(error))}")
    except SketchClipError as error:
        return refusal(f"{PREFIX} {error}", named)
    except SystemExit as error:
        if error.code in (None, 0):
            return Observed("fine")
        if error.code == 2:
            return refusal(errors.getvalue(), named)
        said = f"status {error.code}: {errors.getvalue()}"
        return Observed("unclear", said, general(said), said)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        details = "".join(traceback.format_exception(error))
        return Observed("traceback", said, f"{type(error).__name__} {raised_in(error)}", details)
    return Observed("fine")


def refusal(stderr: str, named: Sequence[str] = ()) -> Observed:
    """Classify the stderr of a command that ended with status 2."""
    message = stderr.partition(PREFIX)[2].strip()
    problems = []
    if stderr.count(PREFIX) != 1:
        problems.append(f"{stderr.count(PREFIX)} messages")
    if "Traceback (most recent" in stderr:
        problems.append("a traceback")
    if not message:
        problems.append("no text")
    if named and not any(name.lower() in stderr.lower() for name in named):
        problems.append(f"names none of {', '.join(named)}")
    if problems:
        place = f"unclear {problems[0].partition(' none of')[0]} {general(message)}"
        return Observed("unclear", f"({'; '.join(problems)}) {message}", place, stderr)
    return Observed("refused", message)


def general(message: str) -> str:
    """A message without what differs from trial to trial.

    >>> general("/tmp/a/b.png: expected 3 rows, found 17")
    ': expected N rows, found N'
    """
    text = re.sub(r"\S*/\S*?(?=[\s:,;]|$)", "", (message.splitlines() or [""])[0])
    text = re.sub(r"'[^']*'|\"[^\"]*\"|b'.*", "Q", text)
    return re.sub(r"-?\d[\d.,e+-]*", "N", text)[:60]


def raised_in(error: BaseException) -> str:
    """File and function of the innermost frame in the product, else of the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if {"sketchclip", "data_modules"} & {*Path(f.filename).parts}]
    own = [f for f in own if "site-packages" not in f.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "nowhere"
