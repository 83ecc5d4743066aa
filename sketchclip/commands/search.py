"""``sketchclip search``: find indexed photos by a sketch, a text or both."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.ranges import Count, Part
from sketchclip.commands.arguments import Parser, check_picture, save_picture
from sketchclip.errors import SketchClipError, printable
from sketchclip.semantics.class_names import spoken
from sketchclip.system.light_imports import import_torchmetrics

if TYPE_CHECKING:
    from sketchclip.search.index import Hit

_EXAMPLES = """examples:
  sketchclip search cat.png --index pictures
  sketchclip search cat.png --index pictures --text "a photo of a black cat" --text-weight 0.3
  sketchclip search --text "a photo of a red bus" --index pictures -k 50 --save bus.png
  curl -s https://example.org/cat.svg | sketchclip search - --index pictures --json

A sketch is a picture (png, jpg, ...), an SVG file, or strokes of Quick, Draw!: a line of ndjson or
{"drawing": [[[x, ...], [y, ...]], ...]}.
"""


def run(args: Sequence[str]) -> "list[Hit]":
    """Run the command; return photos, best first."""
    parser = Parser(prog="sketchclip search", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("sketch", type=Path, nargs="?", help="file, or - for standard input")
    parser.add_argument("--index", required=True, help="folder or URI of 'sketchclip index'")
    parser.add_argument("-k", type=Count, default=20, help="photos (default: 20)")
    parser.add_argument("--class-filter", metavar="CLASS", help="search only this class")
    parser.add_argument("--text", help="a sentence that describes the photo")
    parser.add_argument(
        "--text-weight",
        type=Part,
        default=0.5,
        help="0: sketch alone, 1: text (default: 0.5)",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="picture of the first photos")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--model", help="where the model of the index is now, if it was moved")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    options = parser.parse_args(list(args))
    if options.text is not None and not options.text.strip():
        raise SketchClipError("--text: expected words, found none.")
    if options.sketch is None and options.text is None:
        raise SketchClipError("Nothing to search for: give a sketch, --text, or both.")
    if options.save is not None:
        check_picture(options.save)

    import_torchmetrics()
    from sketchclip.search.index import PhotoIndex
    from sketchclip.search.picture import query_title, search_picture
    from sketchclip.search.query import combine, read_query

    index = PhotoIndex.open(options.index)
    image = None if options.sketch is None else read_query(options.sketch)
    model = index.load_model(options.model, options.device)
    sketch, rescore = (None, None) if image is None else model.query(image)
    text = None if options.text is None else model.texts([options.text])[0]
    query = combine(sketch, text, options.text_weight)
    wanted = options.class_filter
    if wanted is not None and not index.engine.count(wanted):  # as it is shown: with spaces
        same = (name for name in index.classes if spoken(name) == spoken(wanted))
        wanted = next(same, wanted)
    hits = index.search(query, options.k, wanted, rescore)
    scored = "score" if rescore else model.similarity
    if options.save is not None:
        file = None if options.sketch is None else options.sketch.name
        name = "a sketch" if file == "-" else file
        title = query_title(name, options.text, options.text_weight, options.class_filter)
        picture = search_picture(title, image, hits, model.name, len(index), scored)
        save_picture(picture, options.save)
    about = index.about
    if options.json:
        asked = {
            "sketch": None if options.sketch is None else str(options.sketch),
            "text": options.text,
            "text_weight": options.text_weight if options.text and options.sketch else None,
            "class_filter": options.class_filter,
        }
        found = [{**vars(hit), "path": str(hit.path), "score": round(hit.score, 6)} for hit in hits]
        print(json.dumps({**asked, "index": options.index, "model": model.name, "hits": found}))
    else:
        note = f"{len(index):,} photos of {options.index}, {model.name}"
        if len(hits) < options.k:
            note += f"; fewer than {options.k:,} are there to be found"
        if hits and hits[0].shortlist:
            note += f"; its score compared the {hits[0].shortlist:,} nearest by vector"
        _print(hits, note, scored)
        if not about["complete"]:
            print(
                "The index is not complete: 'sketchclip index' was interrupted, or is at work. "
                "Run it again to go on."
            )
        if options.save is not None:
            print(f"Picture: {options.save}")
    return hits


def _print(hits: "Sequence[Hit]", note: str, similarity: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from sketchclip.search.picture import SCORES
    from sketchclip.tables.console import print_whole

    head, sign = SCORES.get(similarity, ("score", 1))
    table = Table("rank", head, "class", "photo")
    for hit in hits:
        shown = spoken(hit.class_name or "")
        cells = (f"{hit.rank}", f"{sign * hit.score:.4f}", shown, str(hit.path))
        table.add_row(*(Text(printable(cell)) for cell in cells))  # brackets are no markup
    print_whole(table)
    print(printable(note))
