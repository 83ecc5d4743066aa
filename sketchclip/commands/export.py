"""``sketchclip export``: a trained model as a folder to share, or on the Hugging Face hub."""

import argparse
from collections.abc import Sequence
from typing import Any

from data_modules.ranges import Count
from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError
from sketchclip.system.light_imports import import_torchmetrics

_EXAMPLES = """examples:
  sketchclip export runs/doodles/version_0 --to my-model
  sketchclip export last --to hf://me/my-model --license mit
  sketchclip export last --to my-model --onnx --int8
  sketchclip export frozen --backbone sketchclip-mini --to mini --onnx

then, anywhere:
  python -c "import sketchclip; model = sketchclip.from_pretrained('my-model')"
"""


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run the command; return config.json, and verification.json under ``onnx``."""
    options = _parse(args)
    import_torchmetrics()
    from sketchclip.pretrained.export import destination, read_export, write_export
    from sketchclip.pretrained.onnx_export import require_packages, write_onnx

    if options.onnx:
        require_packages()
    with destination(options.to, options.private) as (folder, name):
        model, saved = read_export(options.model, options.backbone, options.pretrained)
        print(f"Exporting {model.name}")
        written = write_export(model, saved, folder, name, options.license)
        if options.onnx:
            written["onnx"] = write_onnx(model, folder, options.int8, options.queries)
        for file in sorted(folder.iterdir()):
            print(f"  {file.name:<20} {file.stat().st_size:>13,} bytes")
    if not written["results"]:
        print("The model card has no metrics: run 'sketchclip test' on the checkpoint before.")
    if options.license == _UNKNOWN:
        print("The model card names no licence: give one with --license, such as mit.")
    print(f"Load it: sketchclip.from_pretrained('{options.to}')")
    return written


_UNKNOWN = "unknown"


def _parse(args: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="sketchclip export", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("model", help="run folder, checkpoint, last, best, hub id, or frozen")
    parser.add_argument("--to", required=True, help="a new folder, or hf://owner/name")
    parser.add_argument(
        "--license", default=_UNKNOWN, help="licence of the trained tensors, as the hub names it"
    )
    parser.add_argument("--private", action="store_true", help="make a new hub repository private")
    parser.add_argument("--backbone", help="that of the frozen CLIP (default: ViT-B-32-quickgelu)")
    parser.add_argument("--pretrained", help="the backbone's weights, if they were moved")
    parser.add_argument("--onnx", action="store_true", help="also write both towers as ONNX")
    parser.add_argument("--int8", action="store_true", help="also write ONNX with 8-bit weights")
    parser.add_argument(
        "--queries",
        type=Count,
        default=20,
        help="sketches a class that ONNX is checked with (default: 20, all)",
    )
    options = parser.parse_args(list(args))
    if options.int8 and not options.onnx:
        raise SketchClipError("--int8 is a form of ONNX: give --onnx, too.")
    return options
