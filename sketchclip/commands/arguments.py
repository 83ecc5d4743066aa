"""The parser of the commands that are no LightningCLI."""

import argparse
from typing import Any, NoReturn

from sketchclip.errors import SketchClipError


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of descriptions and examples, and says what is wrong in a line.

    argparse would reflow the one and print the usage before the other.

    Args:
        description: Of the command; a module's docstring will do.
        **kwargs: Of ArgumentParser.
    """

    def __init__(self, *, description: str | None = None, **kwargs: Any) -> None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        plain = (description or "").replace("``", "")
        super().__init__(description=plain, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Leave with status 2.

        Args:
            message: What is wrong.

        Raises:
            SketchClipError: Always.
        """
        raise SketchClipError(f"{message}. See {self.prog} --help")


def numbers(option: str, text: str) -> list[int]:
    """Numbers as they are typed, comma-separated.

    >>> numbers("--seeds", "0,1,2")
    [0, 1, 2]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise SketchClipError(f"{option}={text}: expected numbers such as 0,1,2.") from None
