"""The exception for input that a user can correct, its message, and errors of the system."""

import errno
import re

_SYSTEMIC = frozenset(
    getattr(errno, name)
    for name in (
        *("EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT"),
        *("ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object, lines: bool = False) -> str:
    r"""Text for a terminal or a list: what would steer it or break a line is escaped.

    Args:
        text: Name of a file, a class and so on; bytes of it that are no UTF-8 are escaped, too.
        lines: Line breaks and tabs stay, as in a message.

    >>> print(printable("red\x1b[31m\nrum \udcff.jpg"), printable("照片 é"))
    red\x1b[31m\nrum \udcff.jpg 照片 é
    """
    kept = "\n\t" if lines else ""
    return _STEERING.sub(
        lambda m: m[0] if m[0] in kept else m[0].encode("unicode_escape").decode(), str(text)
    )


def first_line(error: BaseException) -> str:
    """First line of what a library's error says, to be part of a message."""
    return (str(error).strip().splitlines() or ["no details"])[0][:300]


class SketchClipError(ValueError):
    """Bad input: says what was expected, what was found, in which file, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


class MissingWeightsError(SketchClipError):
    """Pretrained weights that are not on this machine and cannot be loaded.

    Args:
        what: Whose weights, and why they cannot be had.
        option: Option of a training that names a file.
        without: Further way of a training to do without them; empty for none.
    """

    def __init__(self, what: str, option: str, without: str = "") -> None:
        self.what, self.option, self.without = what, option, without
        super().__init__(what, option, without)  # as pickle makes it again

    def __str__(self) -> str:
        return self.advice(self.option, self.without)

    def advice(self, option: str, without: str = "") -> str:
        """The message with the options of another command."""
        other = f", {without}" if without else ""
        return (
            f"{self.what}. Name a local file with {option}=FILE (a state dict, safetensors, or "
            f"OpenAI's file){other}, or repeat the command once with a network: what it loads is "
            "kept."
        )


def own_cause(error: BaseException) -> SketchClipError | None:
    """The message for a user behind an error: jsonargparse wraps what a constructor raises."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SketchClipError):
        cause = cause.__cause__ or cause.__context__
    return cause


def is_systemic(error: OSError) -> bool:
    """Tell whether an error says nothing of the file at hand: the next one would fail as well.

    File handles or memory have run out, or a drive is gone. Whoever passes over unreadable files
    must not pass over all that follow.
    """
    return error.errno in _SYSTEMIC
