"""The command line: LightningCLI with layered configs, linked class names and plain errors."""

import io
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from sketchclip import __version__
from sketchclip.commands.arguments import TRAINER_COMMANDS
from sketchclip.errors import SketchClipError, printable
from sketchclip.system.causes import explain  # here: it must not need a file handle later
from sketchclip.system.light_imports import import_torchmetrics
from sketchclip.system.signals import listen, say_stopped, stop_status
from sketchclip.system.streams import mend_streams, output_failure

_COMMANDS = {
    "fit": "train a method and validate it",
    "validate": "evaluate on the validation classes",
    "test": "evaluate on the unseen classes, full gallery; alone: the last run",
    "predict": "write the embeddings of the unseen classes",
    "evaluate": "score embeddings that any code has made",
    "compare": "test whether two runs differ beyond chance",
    "ablate": "run a grid of configs and seeds, and resume it",
    "plot": "draw the figures that runs allow: curves, classes, losses, maps",
    "show": "draw sketches of a test with their first photos",
    "export": "a model to share: safetensors, model card, ONNX",
    "table": "the paper's tables with reported and measured figures",
    "list": "methods, datasets, backbones, runs and experiments, one line each",
    "data": "check a dataset on disk, or prepare it for fast reading",
    "quickstart": "frozen and adapted mini CLIP on real doodles, in minutes, offline",
    "index": "embed folders of photos, to find them by drawing",
    "search": "find indexed photos by a sketch, a text or both",
    "demo": "draw in a browser and see the photos that are found",
    "completion": "names completed by the tab key, in bash and zsh",
}
"""Each is run by the module of its name in :mod:`sketchclip.commands`, or by LightningCLI."""

_REPORT = (
    "this is a defect of sketchclip, not of your input. Please report it with the lines above to "
    "the issue tracker of the project."
)

_HELP = """usage: sketchclip COMMAND --config FILE [--config FILE] [--key=value ...]

CLIP for zero-shot sketch-based image retrieval.

commands:
{commands}

  sketchclip fit --config experiments/doodles.yaml
  sketchclip fit --config experiments/sketchy.yaml --data.root /path/to/Sketchy
  sketchclip fit --help                               every option of trainer, method and data
  sketchclip fit --config FILE --print_config         the settings that would run"""


def help_text() -> str:
    """The first screen, written without importing PyTorch."""
    width = max(map(len, _COMMANDS))
    lines = (f"  {name:<{width}}  {text}" for name, text in _COMMANDS.items())
    return _HELP.format(commands="\n".join(lines))


def main(args: Sequence[str] | None = None) -> Any:
    """Run the command line.

    Args:
        args: Arguments after the program's name; ``None`` for those of the process.

    Returns:
        The LightningCLI after its command has run (tests read ``trainer`` and ``model`` off it), or
        the figures of ``quickstart``, ``evaluate`` and ``compare``, what ``data check``, ``index``
        and ``search`` found, the files of ``plot`` and ``show``, or what ``export`` wrote.

    Raises:
        SystemExit: With status 2 and one message, for what a user can mend: input, a full disk, too
            little memory; with status 1 if ``data check`` found what stops or changes a run; with
            130 if it was interrupted, with 143 if it was told to end.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what a terminal cannot write
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] in ("-h", "--help"):
        print(help_text())
        return None
    if given[0] == "--version":
        print(f"sketchclip {__version__}")
        return None
    if given[0] not in _COMMANDS:
        like = get_close_matches(given[0], _COMMANDS)
        near = f" Nearest: {', '.join(like)}." if like else ""
        _fail(f"unknown command '{given[0]}'.{near} Expected one of {', '.join(_COMMANDS)}.")
    # Warnings are for people here: the message, not the line of code that gave it.
    previous, warnings.formatwarning = warnings.formatwarning, _plain_warning
    try:
        if given[0] not in TRAINER_COMMANDS:
            return import_module(f"sketchclip.commands.{given[0]}").run(given[1:])
        import_torchmetrics()
        if not {"-h", "--help"}.isdisjoint(given):
            from sketchclip.commands.settings.help_pages import print_help

            return print_help(given)
        from sketchclip.commands.trainer import run_cli

        return run_cli(None if args is None else given)
    except SystemExit as stop:
        pressed = stop.__context__
        if stop.code != 1 or not isinstance(pressed, KeyboardInterrupt):
            raise
        say_stopped()  # Lightning's trainer answers the key with status 1
        raise SystemExit(stop_status(pressed)) from None
    except KeyboardInterrupt as error:
        say_stopped()
        raise SystemExit(stop_status(error)) from None
    except Exception as error:
        if (status := stop_status()) is not None:  # a library made another error of it
            say_stopped()
            raise SystemExit(status) from None
        message = explain(error, given[0])
        if message is None:
            raise
        _fail(message)
    finally:
        warnings.formatwarning = previous


def console() -> None:
    """The installed command: a shell would take the result of ``main`` for a failure.

    What is no fault of the user's keeps its traceback, and says where to report it.
    """
    listen()
    mend_streams()
    try:
        main()
    except Exception:
        sys.excepthook(*sys.exc_info())
        print(f"sketchclip {__version__}: {_REPORT}", file=sys.stderr)
        raise SystemExit(1) from None
    if failure := output_failure():
        _fail(f"Standard output could not be written ({failure.strerror}).")


def _plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"sketchclip: warning: {printable(message, lines=True)}\n"


def _fail(message: str) -> NoReturn:
    # An exception of a loader worker arrives as a traceback ending in the message.
    marker = f"{SketchClipError.__name__}: "
    if "Traceback" in message and marker in message:
        message = message.rpartition(marker)[2].strip()
    print(f"sketchclip: error: {printable(message, lines=True)}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    console()
