"""The one exception for input that a user can correct."""


class SketchClipError(ValueError):
    """Bad input: says what was expected, what was found, in which file, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """
