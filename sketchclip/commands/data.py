"""``sketchclip data``: check a dataset on disk, and prepare its images for fast reading."""

import argparse
import json
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_modules.ranges import Count, Natural
from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError

# Nothing here imports PyTorch before the arguments are known to be good.

_DESCRIPTION = "Lists the contents of a dataset folder, its problems and what to do."

_EPILOG = """exit status:
  0  ready: training and test are what the split states, or only warnings were found
  1  something stops or changes training or test: classes of the split missing, unreadable
     images, empty class folders, fewer test images than published, no split that fits
  2  nothing was checked: wrong arguments, no such folder, or no dataset recognized in it

examples:
  sketchclip data check /path/to/Sketchy
  sketchclip data check /path/to/photos_and_sketches --dataset SketchPhotoFolder --split random:5:0
  sketchclip data check /path/to/TUBerlin --quick --json - | jq .checks
"""


def _parser() -> Parser:
    parser = Parser(prog="sketchclip data", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    text = "list contents and problems of a dataset folder"
    check = commands.add_parser("check", help=text, description=_DESCRIPTION, epilog=_EPILOG)
    check.set_defaults(action=_check)
    check.add_argument("--split", metavar="NAME", help="as data.split; default: the dataset's own")
    check.add_argument("--json", metavar="FILE", help="write all findings as JSON; - for stdout")
    check.add_argument("--quick", action="store_true", help="names and sizes alone: read no image")

    prepare = commands.add_parser(
        "prepare",
        help="decode and fit every image once, for fast reading",
        description="Decodes and fits every image of a dataset once. Training then reads them with "
        "--data.prepared FOLDER. An interrupted run goes on where it was when it is repeated.",
    )
    prepare.set_defaults(action=_prepare)
    prepare.add_argument("--out", metavar="FOLDER", required=True, help="new folder of the images")
    prepare.add_argument("--size", type=Count, default=224, help="side in pixels (default: 224)")
    prepare.add_argument(
        "--resize", default="letterbox", help="as data.resize of the training (default: letterbox)"
    )
    text = "that of the model (default: bicubic, CLIP's)"
    choices = ("bicubic", "bilinear")
    prepare.add_argument("--interpolation", choices=choices, default="bicubic", help=text)
    for command in (check, prepare):
        command.add_argument("root", metavar="ROOT", help="folder of the dataset, as data.root")
        text = "Sketchy, TUBerlin, QuickDraw or SketchPhotoFolder; recognized if not named"
        command.add_argument("--dataset", metavar="NAME", help=text)
        for name in ("sketch_files", "photo_files"):
            text = f"as data.{name}, for other layouts"
            command.add_argument(f"--{name}", metavar="PATTERN", help=text)
        command.add_argument(
            "--workers",
            type=Natural,
            default=cores or 1,
            help="processes (default: all cores)",
        )
    return parser


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run the command; return what ``--json`` writes.

    Raises:
        SystemExit: With status 1 if a check found something that stops or changes a run.
        SketchClipError: If nothing could be checked or prepared.
    """
    parser = _parser()
    if not args:
        parser.print_help()
        return {}
    options = parser.parse_args(args)
    root = Path(options.root).expanduser()
    if not root.is_dir():
        from data_modules.listing.entries import no_folder

        raise SketchClipError(
            f"{root} {no_folder(root)}. Expected the folder of a dataset, as data.root."
        )
    with warnings.catch_warnings():
        # The report holds what a data module would warn of, with its paths.
        warnings.simplefilter("ignore")
        result: dict[str, Any] = options.action(root, options)
    return result


def _check(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    target = options.json
    if target not in (None, "-") and not Path(target).absolute().parent.is_dir():
        raise SketchClipError(f"--json {target}: the folder does not exist.")  # before the work
    from sketchclip.data_check.check import check
    from sketchclip.data_check.report import print_report

    report = check(
        root, options.dataset, options.split, _patterns(options), options.workers, options.quick
    )
    result = report.as_dict()
    if target == "-":
        print(json.dumps(result, indent=2))
    else:
        print_report(report)
    if target not in (None, "-"):
        Path(target).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"Written: {target}", file=sys.stderr)
    if not report.ready:
        raise SystemExit(1)
    return result


def _prepare(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    if options.size < 1:
        raise SketchClipError(f"--size {options.size}: expected a number of pixels, such as 224.")
    from typing import get_args

    from data_modules.prepared.prepare import prepare
    from data_modules.transforms import Fit, Resize
    from sketchclip.data_check.recognize import recognize

    if options.resize not in get_args(Resize):
        raise SketchClipError(
            f"--resize {options.resize}: expected one of {', '.join(get_args(Resize))}."
        )
    patterns = _patterns(options)
    dataset = recognize(root, options.dataset, named=bool(patterns)).dataset
    listing = dataset(root=str(root), num_workers=0, **patterns).catalogue.files.listing
    paths = [path for side in listing for files in side.values() for path in files]
    fit = Fit(options.size, options.resize, options.interpolation)
    summary = prepare(
        paths, root, Path(options.out).expanduser(), fit, options.workers, progress=True
    )
    print(summary)
    print(f"Train with: --data.prepared {shlex.quote(options.out)}")
    return {"images": summary.images, "written": summary.written, "kept": summary.kept}


def _patterns(options: argparse.Namespace) -> dict[str, Any]:
    """Collect the arguments of the data module that name the files."""
    given = {name: getattr(options, name) for name in ("sketch_files", "photo_files")}
    if len(named := {name: value for name, value in given.items() if value}) == 1:
        raise SketchClipError("--sketch_files and --photo_files belong together: name both.")
    return named
