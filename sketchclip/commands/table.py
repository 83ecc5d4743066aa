"""``sketchclip table``: the paper's tables with reported and measured values."""

from collections.abc import Sequence
from pathlib import Path

from sketchclip.commands.arguments import Parser
from sketchclip.tables.build import build_tables
from sketchclip.tables.formats import FORMATS, ResultTable, markdown
from sketchclip.tables.measured import collect

_EXAMPLES = """examples:
  sketchclip table runs/embedded/category                print as Markdown
  sketchclip table runs/embedded/category runs/embedded/fine_grained -o results/embedded
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
    options = parser.parse_args(args)
    groups, left_out = collect(options.runs)
    tables = [table for group in groups for table in build_tables(group)]
    print("\n".join(markdown(table) for table in tables))
    for line in left_out:
        print(f"Left out: {line}")
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        for ending, write in FORMATS.items():
            for number, table in enumerate(tables, start=1):
                name = table.title.split(":")[0].lower().replace(" ", "_")
                target = options.output / f"{number}_{name}.{ending}"
                target.write_text(write(table), encoding="utf-8")
        print(f"Written: {options.output}/*.{{{','.join(FORMATS)}}}")
    return tables
