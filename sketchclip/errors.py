"""The one exception for input that a user can correct."""


def first_line(error: BaseException) -> str:
    """First line of what a library's error says, to be part of a message."""
    return (str(error).strip().splitlines() or ["no details"])[0][:300]


class SketchClipError(ValueError):
    """Bad input: says what was expected, what was found, in which file, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def own_cause(error: BaseException) -> SketchClipError | None:
    """The message for a user behind an error: jsonargparse wraps what a constructor raises."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SketchClipError):
        cause = cause.__cause__ or cause.__context__
    return cause
