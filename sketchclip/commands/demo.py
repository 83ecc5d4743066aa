"""``sketchclip demo``: a web page that shows retrieved photos while the user draws."""

from collections.abc import Sequence

from data_modules.ranges import Port
from sketchclip.commands.arguments import Parser
from sketchclip.commands.index import warn_of_mini
from sketchclip.errors import SketchClipError
from sketchclip.system.light_imports import import_torchmetrics

_EXAMPLES = """examples:
  sketchclip demo                                    the bundled doodles and the small CLIP
  sketchclip demo --model frozen last                the same, and the last run beside it
  sketchclip demo --index holidays                   photos that 'sketchclip index' has embedded
  sketchclip demo --index holidays holidays-adapted  two indexes side by side
"""
COLUMNS = 2


def run(args: Sequence[str]) -> None:
    """Run the command until it is interrupted."""
    parser = Parser(prog="sketchclip demo", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument(
        "--index", nargs="+", default=[], metavar="NAME", help="one index, or two side by side"
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        help="without --index: one model for the bundled photos, or two side by side "
        "(default: frozen, the small CLIP)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=Port, help="default: 7860, or the next free one")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="further name by which a browser may reach the page",
    )
    parser.add_argument("--device", default="auto", help="where models compute (default: auto)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    options = parser.parse_args(list(args))
    if options.index and options.model:
        raise SketchClipError("--model: an index knows its model. Give --index or --model.")
    for name in ("index", "model"):
        count = len(getattr(options, name))
        if count > COLUMNS:
            raise SketchClipError(f"--{name}: expected one or two, got {count}.")

    try:
        import pydantic  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SketchClipError(
            f"The demo needs {error.name}: pip install 'sketchclip[search]'."
        ) from error

    import_torchmetrics()
    from sketchclip.search.demo import columns as sources
    from sketchclip.search.demo import serving
    from sketchclip.search.demo.limits import Limits
    from sketchclip.search.demo.server import create_app

    # Bound before the models are loaded: nobody should wait for a port that is in use.
    taken = serving.bind(options.host, options.port)
    if options.index:
        columns, examples = sources.open_columns(options.index, options.device), []
        warn_of_mini(column.model for column in columns)
    else:
        columns = sources.bundled_columns(options.model or ["frozen"], options.device)
        examples = sources.examples()
    limits = Limits()
    app = create_app(
        columns,
        serving.allowed_hosts(options.host, options.allow_host),
        limits,
        examples,
        full_paths=serving.is_local(options.host),
    )
    serving.serve(app, taken, limits, browser=not options.no_browser)
