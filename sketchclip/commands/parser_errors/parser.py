"""Parser of the commands that LightningCLI runs."""

import inspect
import sys
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser
from torch.optim import Optimizer

from sketchclip.commands.parser_errors.given import Given
from sketchclip.commands.parser_errors.layers import check_layer
from sketchclip.commands.parser_errors.shorten import short_error
from sketchclip.errors import printable


class PlainParser(LightningArgumentParser):
    """Parser that reports an error in two lines; jsonargparse prints pages of usage first.

    Attributes:
        given: What the user gave, which its errors name.
    """

    given = Given()

    def check_layer(self, path: Path, content: dict[str, Any]) -> None:
        """Refuse keys of a config that the command does not have, and remember the others."""
        check_layer(path, content, self)
        self.given.layers.append((path, content))

    def add_class_arguments(self, theclass: type, *args: Any, **kwargs: Any) -> list[str]:
        """Add the arguments of a class; an optimizer's rate is None unless it is given.

        Then each group of a method's parameters keeps its own.
        """
        optimizer = isinstance(theclass, type) and issubclass(theclass, Optimizer)
        if not optimizer or "lr" not in inspect.signature(theclass).parameters:
            return super().add_class_arguments(theclass, *args, **kwargs)
        kwargs["skip"] = {*kwargs.get("skip", ()), "lr"}
        added = super().add_class_arguments(theclass, *args, **kwargs)
        told = "Learning rate of all parameters; null for those of the method's own groups."
        self.add_argument("--lr", type=float | None, default=None, help=told)
        return [*added, "lr"]

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", self)  # the program's parser checks its commands
        told = printable(short_error(message, parser, self.given), lines=True)
        program = " ".join(["sketchclip", *self.given.args[:1]])
        print(f"sketchclip: error: {told}\nSee {program} --help", file=sys.stderr)
        raise SystemExit(2)
