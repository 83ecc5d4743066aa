"""Parser and shared argument types of the commands that do not use LightningCLI."""

import argparse
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from data_modules.ranges import Count, Natural, Part, Port, Positive, Seed, range_error
from sketchclip.errors import SketchClipError

if TYPE_CHECKING:
    from PIL.Image import Image

TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
"""Commands that LightningCLI runs."""


class Parser(argparse.ArgumentParser):
    """Argument parser that keeps line breaks of texts and reports an error in one line."""

    def __init__(self, *, description: str | None = None, **kwargs: Any) -> None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        kwargs["allow_abbrev"] = False  # what is mistyped must not be taken for another option
        plain = (description or "").replace("``", "")
        super().__init__(description=plain, **kwargs)
        for kind in (Count, Natural, Part, Port, Positive, Seed):  # 'type=Count'
            self.register("type", kind, _read_as(kind))
        self.register("type", Path, _read_path)

    def error(self, message: str) -> NoReturn:
        """Raise SketchClipError, which ends the command with status 2."""
        from sketchclip.commands.parser_errors.shorten import short_error

        told = short_error(message, self).removeprefix("argument ").rstrip(".")
        raise SketchClipError(f"{told}. See {self.prog} --help")


def listed(text: str) -> list[str]:
    """Parse comma-separated words.

    >>> listed("png,svg")
    ['png', 'svg']
    """
    return [part for part in text.split(",") if part]


def check_picture(file: Path) -> None:
    """Refuse an ending that no kind of picture has, before the work on the picture.

    Raises:
        SketchClipError: Names the endings that are common.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(file.suffix.lower())  # all kinds are loaded by this
    if kind not in Image.SAVE:
        raise SketchClipError(
            f"Cannot write {file}: expected a picture's ending, such as .png, .jpg or .pdf, found "
            f"{file.suffix or 'none'}."
        )


def save_picture(picture: "Image", file: Path) -> None:
    """Save a picture in a folder that is made if missing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    except (OSError, ValueError) as error:
        raise SketchClipError(f"Cannot write {file} ({error}).") from error


def _read_path(text: str) -> Path:
    """A path; a shell leaves the ~ of ``--out=~/x`` as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ArgumentTypeError(f"{text}: {error}") from None


def _read_as(kind: Any) -> Callable[[str], Any]:
    """Reader of numbers of a type with a range."""
    base = get_args(kind)[0]

    def parse(text: str) -> Any:
        try:
            value = base(text)
        except ValueError:
            what = "a whole number" if base is int else "a number"
            raise ArgumentTypeError(f"expected {what}, found {text!r}") from None
        if wrong := range_error(kind, value):
            raise ArgumentTypeError(wrong)
        return value

    return parse


def seeds(text: str) -> list[int]:
    """Parse comma-separated seeds.

    >>> seeds("0,1,2")
    [0, 1, 2]
    """
    numbers = [_read_as(Seed)(part) for part in text.split(",")]
    if len({*numbers}) < len(numbers):
        raise ArgumentTypeError(f"expected each seed once, found {text}")
    return numbers
