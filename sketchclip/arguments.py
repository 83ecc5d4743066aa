"""The argument parser of the commands that do not train."""

import argparse
from typing import NoReturn

from sketchclip.errors import SketchClipError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in a line; argparse would print the usage first."""

    def error(self, message: str) -> NoReturn:
        """Raise what the command line prints."""
        raise SketchClipError(f"{message}. See {self.prog} --help")
