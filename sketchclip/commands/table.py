"""``sketchclip table``: the paper's tables with reported and measured figures."""

from collections.abc import Sequence
from pathlib import Path

from sketchclip.commands.arguments import Parser
from sketchclip.tables.formats import FORMATS, ResultTable, markdown
from sketchclip.tables.measured import Group, collect
from sketchclip.tables.paper import FINE_GRAINED, QUICKDRAW, ROWS, SKETCHY, TU_BERLIN, Cell, Row

# Columns of the paper that a data module's results stand beside.
_REPORTED = {"TUBerlin": TU_BERLIN, "QuickDraw": QUICKDRAW}
_CATEGORY = ("mAP@all", "mAP@200", "P@1", "P@5", "P@100", "P@200")
_INSTANCE = ("Acc@1", "Acc@5", "Acc@1_all", "Acc@5_all")
_READ_AS = {
    "mAP@200": "mAP@200 (strict)",
    "Acc@1": "Acc@1 (class gallery)",
    "Acc@5": "Acc@5 (class gallery)",
    "Acc@1_all": "Acc@1 (all photos)",
    "Acc@5_all": "Acc@5 (all photos)",
}
_EXAMPLES = """examples:
  sketchclip table runs/embedded/category                print as Markdown
  sketchclip table runs/embedded/category runs/embedded/fine_grained -o results/embedded
"""


def run(args: Sequence[str]) -> list[ResultTable]:
    """Run ``sketchclip table``.

    Args:
        args: Arguments after the command.

    Returns:
        The tables.
    """
    parser = Parser(
        prog="sketchclip table",
        description="The paper's main table and ablations: what it reports and what runs measured.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, as 'plot' takes them")
    parser.add_argument("-o", "--output", type=Path, help="folder for .md, .tex, .csv and .html")
    options = parser.parse_args(args)
    groups, left_out = collect(options.runs)
    tables = [table for group in groups for table in tables_of(group)]
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


def tables_of(group: Group) -> list[ResultTable]:
    """Main table, ablations, and cells that are no row of the paper.

    Args:
        group: Runs of one protocol.

    Returns:
        Those of the three that have a measured row.
    """
    known = {row.id: row for row in ROWS}
    fine = any(known[name].fine_grained for name in group.cells if name in known)
    rows = [row for row in ROWS if row.fine_grained == fine]
    frozen = [name for name in group.cells if name.endswith("frozen")]
    other = [name for name in group.cells if name not in known and name not in frozen]
    parts = {
        "Main table": [row for row in rows if row.group != "ablation"],
        "Ablations": [row for row in rows if row.group in ("ours", "ablation")],
    }
    tables = []
    for title, members in parts.items():
        wanted = ("ablation",) if title == "Ablations" else ("baseline", "ours")
        if any(row.id in group.cells for row in members if row.group in wanted):
            tables.append(
                _table(f"{title}: {group.protocol.dataset}", group, members, frozen, fine)
            )
    if other or not tables:
        extra = other if tables else [*frozen, *other]
        tables.append(_table(f"Runs: {group.protocol.dataset}", group, [], extra, fine))
    return tables


def _table(
    title: str, group: Group, rows: Sequence[Row], extra: Sequence[str], fine: bool
) -> ResultTable:
    possible = FINE_GRAINED if fine else _REPORTED.get(group.protocol.dataset, SKETCHY)
    reported = [cell for cell in possible if any(cell in row.reported for row in rows)]
    measured = {name for values in group.cells.values() for name in values}
    metrics = [name for name in (_INSTANCE if fine else _CATEGORY) if name in measured]
    heads = [f"paper: {dataset} {metric}" for dataset, metric in reported]
    table = ResultTable(title, ["", *heads, *(_READ_AS.get(m, m) for m in metrics), "seeds"])
    for name in extra:
        label = "frozen CLIP" if name.endswith("frozen") else name
        table.rows.append([label, *["-"] * len(heads), *_measured(group, name, metrics)])
    for row in rows:
        cells = [_reported(row, cell, table) for cell in reported]
        label = row.label if row.config else f"{row.label} (not implemented yet)"
        table.rows.append([label, *cells, *_measured(group, row.id, metrics)])
    table.caption = (
        f"Measured: {group.protocol}. Mean ± sample standard deviation over seeds; code at "
        f"{', '.join(sorted(group.commits))}."
    )
    if heads:
        table.caption += (
            " Columns headed paper are what it reports, with OpenAI's ViT-B/32 on the dataset "
            "named there; '-' is not reported or not measured."
        )
    return table


def _reported(row: Row, cell: Cell, table: ResultTable) -> str:
    if cell not in row.reported:
        return "-"
    note = row.footnotes.get(cell)
    return f"{row.reported[cell]:.3f}" + (table.mark(note) if note else "")


def _measured(group: Group, name: str, metrics: Sequence[str]) -> list[str]:
    cells = []
    for metric in metrics:
        mean, std = group.mean(name, metric), group.std(name, metric)
        spread = "" if std is None else f" ± {std:.3f}"
        cells.append("-" if mean is None else f"{mean:.3f}{spread}")
    seeds = sorted(group.seeds.get(name, []))
    return [*cells, ", ".join(map(str, seeds)) or "-"]
