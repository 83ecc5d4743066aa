"""``sketchclip index``: embed folders of photos, to find them by drawing."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.ranges import Count
from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError, printable
from sketchclip.system.light_imports import import_torchmetrics
from sketchclip.system.signals import say_stopped, stop_status

if TYPE_CHECKING:
    from sketchclip.pretrained.model import SearchModel
    from sketchclip.search.update import UpdateSummary

_EXAMPLES = """examples:
  sketchclip index ~/Pictures -o pictures                        frozen CLIP
  sketchclip index ~/Pictures -o pictures --model last           the last run
  sketchclip index -o pictures --update                          what has changed on disk since
  sketchclip index ~/Scans -o pictures --update                  a folder more
  sketchclip index ~/Pictures -o s3://bucket/pictures            in an object store

The same command goes on with an index that was interrupted.
"""
_MINI = (
    "Warning: {name} is the small CLIP for demonstrations, pre-trained on icons and emoji, "
    "which finds little in photos. Take a model on ViT-B/32 for them."
)
_SHOWN = 20


def run(args: Sequence[str]) -> "UpdateSummary":
    """Run the command; return counts of the photos added, changed, removed and skipped."""
    parser = Parser(prog="sketchclip index", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("photos", type=Path, nargs="*", help="folders, searched at any depth")
    parser.add_argument("-o", dest="location", required=True, help="folder of the index, or a URI")
    parser.add_argument(
        "--model",
        help="run folder, checkpoint, 'last', 'best', exported folder, owner/name on the Hugging "
        "Face hub, or 'frozen'; default: that of the index, 'frozen' for a new one",
    )
    parser.add_argument("--backbone", help="that of --model frozen (default: ViT-B-32-quickgelu)")
    parser.add_argument("--pretrained", help="open_clip tag or file of the backbone's weights")
    parser.add_argument(
        "--update", action="store_true", help="bring an index in line with the photos on disk"
    )
    parser.add_argument(
        "--drop", type=Path, nargs="+", default=[], help="folders to leave out from now on"
    )
    parser.add_argument(
        "--verify", action="store_true", help="read every file, do not trust its time of change"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--compile", action="store_true", help="compile the network: for many photos on a GPU"
    )
    parser.add_argument("--readers", type=Count, default=4, help="threads that read (default: 4)")
    options = parser.parse_args(list(args))

    from sketchclip.search.photos import check_folders

    check_folders(options.photos)  # before the seconds that a model takes
    import_torchmetrics()
    from sketchclip.clip.compiling import compile_towers
    from sketchclip.pretrained.model import FROZEN, load_model
    from sketchclip.search.engine import VectorEngine
    from sketchclip.search.index import PhotoIndex
    from sketchclip.search.update import index_photos

    known = VectorEngine(options.location).exists()
    index = PhotoIndex.open(options.location) if known else None
    changes = options.update or options.drop or options.verify
    if index is not None and index.about["complete"] and not changes:
        raise SketchClipError(
            f"There is an index at {options.location} already, of {len(index):,} photos. Bring it "
            "up to date with --update, or name another location with -o."
        )
    if index is None and (changes or not options.photos):
        raise SketchClipError(
            f"There is no index at {options.location}. Name the folders of the photos, without "
            "--update, --drop and --verify."
        )
    if options.model or options.backbone or index is None:
        model = load_model(
            options.model or FROZEN, options.backbone, options.pretrained, options.device
        )
    else:
        model = index.load_model(device=options.device)
    warn_of_mini([model])
    if options.compile and (reason := compile_towers(model.module, model.device)):
        print(printable(f"Not compiled: {reason}"))
    try:
        summary = index_photos(
            options.photos, model, options.location, options.drop, options.verify, options.readers
        )
    except KeyboardInterrupt as error:
        say_stopped("All vectors so far are kept: the same command goes on from here.")
        raise SystemExit(stop_status(error)) from None
    report(summary)
    return summary


def warn_of_mini(models: "Iterable[SearchModel]") -> None:
    """Say on stderr, in a line for each, which models are too small for photos of one's own."""
    from sketchclip.clip import MINI_NAME

    for model in models:
        if (model.about["backbone"] or {}).get("name") == MINI_NAME:
            print(printable(_MINI.format(name=model.name)), file=sys.stderr)


def report(summary: "UpdateSummary") -> None:
    """Print the result; names of skipped files go to stderr and beside the index."""
    from sketchclip.search.location import UNREADABLE, is_uri

    lines = [printable(f"{path}: {reason}") for path, reason in summary.skipped.items()]
    if not lines and not is_uri(summary.place):
        (Path(summary.place) / UNREADABLE).unlink(missing_ok=True)  # that of the run before
    if lines:
        shown = "".join(f"\n  {line}" for line in lines[:_SHOWN])
        if not is_uri(summary.place):
            file = Path(summary.place) / UNREADABLE
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            shown += f"\nAll of them: {file}" if lines[_SHOWN:] else ""
        elif lines[_SHOWN:]:
            shown += f"\n  and {len(lines) - _SHOWN:,} more"
        print(f"Skipped, {len(lines):,} in all:{shown}", file=sys.stderr)
    print(
        f"{summary.photos:,} photos in {summary.place}: {summary.added:,} added, "
        f"{summary.changed:,} changed, {summary.removed:,} removed, {summary.kept:,} as before; "
        f"{summary.embedded:,} embedded in {summary.seconds:.0f} s"
    )
