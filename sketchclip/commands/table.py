"""``sketchclip table``: the paper's tables with reported and measured values."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError, printable
from sketchclip.system.outputs import all_or_none
from sketchclip.tables.build import build_tables
from sketchclip.tables.comparison import against_table, cost_table, order_table
from sketchclip.tables.formats import FORMATS, ResultTable, markdown
from sketchclip.tables.measured import Group, collect
from sketchclip.tables.paper import is_named

_EXAMPLES = """examples:
  sketchclip table runs/embedded/category                print as Markdown
  sketchclip table runs/embedded/category runs/embedded/fine_grained -o results/embedded
  sketchclip table runs/one_backbone --order --cost      which rows differ, and what they cost
  sketchclip table runs/one_backbone --against ours      which rows beat the paper's method
"""


def run(args: Sequence[str]) -> list[ResultTable]:
    """Run the command; return the tables."""
    parser = Parser(
        prog="sketchclip table",
        description="The paper's main table and ablations: what it reports and what runs measured.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, as 'plot' takes them")
    parser.add_argument("-o", "--output", type=Path, help="folder for .md, .tex, .csv and .html")
    parser.add_argument(
        "--order", action="store_true", help="add the rows in order, each tested against the next"
    )
    parser.add_argument(
        "--against", metavar="ROW", help="add the rows in order, each tested against this one"
    )
    parser.add_argument(
        "--cost", action="store_true", help="add parameters, speed and memory of each training"
    )
    options = parser.parse_args(args)
    groups, left_out = collect(options.runs)
    kinds: list[Callable[[Group], list[ResultTable]]] = [
        build_tables,
        *([order_table] * options.order),
    ]
    if options.against is not None:
        _check_row(options.against, groups)
        kinds.append(partial(against_table, row=options.against))
    kinds += [cost_table] * options.cost
    tables = [table for group in groups for kind in kinds for table in kind(group)]
    print("\n".join(markdown(table) for table in tables))
    for line in left_out:
        print(printable(f"Left out: {line}"))
    if options.output is not None:
        with all_or_none(options.output) as building:
            for ending, write in FORMATS.items():
                for number, table in enumerate(tables, start=1):
                    name = re.sub(r"[^\w.-]+", "_", table.title.split(":")[0].lower())
                    target = building / f"{number}_{name}.{ending}"
                    target.write_text(write(table), encoding="utf-8")
        print(f"Written: {options.output}/*.{{{','.join(FORMATS)}}}")
    return tables


def _check_row(row: str, groups: Sequence[Group]) -> None:
    names = dict.fromkeys(name for group in groups for name in group.runs)
    if not any(is_named(name, row) for name in names):
        raise SketchClipError(f"--against: expected one of {', '.join(names)}, found {row!r}.")
