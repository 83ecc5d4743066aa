"""Parser and shared argument types of the commands that do not use LightningCLI."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sketchclip.errors import SketchClipError

if TYPE_CHECKING:
    from PIL.Image import Image

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
"""Commands that LightningCLI runs."""


class Parser(argparse.ArgumentParser):
    """Argument parser that keeps line breaks of texts and reports an error in one line."""

    def __init__(self, *, description: str | None = None, **kwargs: Any) -> None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        plain = (description or "").replace("``", "")
        super().__init__(description=plain, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise SketchClipError, which ends the command with status 2."""
        raise SketchClipError(f"{message}. See {self.prog} --help")


def listed(text: str) -> list[str]:
    """Parse comma-separated words.

    >>> listed("png,svg")
    ['png', 'svg']
    """
    return [part for part in text.split(",") if part]


def save_picture(picture: "Image", file: Path) -> None:
    """Save a picture in a folder that is made if missing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    except (OSError, ValueError) as error:
        raise SketchClipError(f"Cannot write {file} ({error}).") from error


def numbers(option: str, text: str) -> list[int]:
    """Parse comma-separated whole numbers.

    >>> numbers("--seeds", "0,1,2")
    [0, 1, 2]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise SketchClipError(f"{option}={text}: expected numbers such as 0,1,2.") from None
