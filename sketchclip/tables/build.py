"""Tables of the paper with a column of reported and one of measured values for each metric."""

from collections.abc import Sequence

from sketchclip.metrics.definitions import metric_info
from sketchclip.tables.formats import ResultTable
from sketchclip.tables.measured import Group
from sketchclip.tables.paper import FINE_GRAINED, QUICKDRAW, ROWS, SKETCHY, TU_BERLIN, Column, Row

# Columns of the paper that stand beside the results of a data module; Sketchy's beside the others.
_REPORTED = {"TUBerlin": TU_BERLIN, "QuickDraw": QUICKDRAW}
_CATEGORY = ("mAP@all", "mAP@200", "P@1", "P@5", "P@100", "P@200")
_INSTANCE = ("Acc@1", "Acc@5", "Acc@1_all", "Acc@5_all")


def build_tables(group: Group) -> list[ResultTable]:
    """Build the main table, the ablations, and a table of other runs where measured."""
    known = {row.id: row for row in ROWS}
    fine = any(known[name].fine_grained for name in group.runs if name in known)
    rows = [row for row in ROWS if row.fine_grained == fine]
    frozen = [name for name in group.runs if name.endswith("frozen")]
    other = [name for name in group.runs if name not in known and name not in frozen]
    tables = []
    for title, members, needed in (
        ("Main table", ("earlier", "baseline", "ours"), ("earlier", "baseline", "ours")),
        ("Ablations", ("ours", "ablation"), ("ablation",)),
    ):
        if any(row.id in group.runs for row in rows if row.group in needed):
            chosen = [row for row in rows if row.group in members]
            tables.append(_table(title, group, chosen, frozen, fine))
    if other or not tables:
        tables.append(_table("Runs", group, [], other if tables else [*frozen, *other], fine))
    return tables


def _table(
    title: str, group: Group, rows: Sequence[Row], extra: Sequence[str], fine: bool
) -> ResultTable:
    """Build a table of rows of the paper, below runs that are no row of it."""
    possible = FINE_GRAINED if fine else _REPORTED.get(group.dataset, SKETCHY)
    reported = [column for column in possible if any(column in row.reported for row in rows)]
    measured = {name for values in group.runs.values() for name in values}
    metrics = [name for name in (_INSTANCE if fine else _CATEGORY) if name in measured]
    heads = [f"paper: {dataset} {metric}" for dataset, metric in reported]
    columns = ["", *heads, *(metric_info(metric).label for metric in metrics), "seeds"]
    table = ResultTable(f"{title}: {group.dataset}", columns)
    for name in extra:
        label = "frozen" if name.endswith("frozen") else name
        table.rows.append([label, *["-"] * len(heads), *_measured(group, name, metrics)])
    for row in rows:
        cells = [_reported(row, column, table) for column in reported]
        table.rows.append([row.label, *cells, *_measured(group, row.id, metrics)])
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


def _reported(row: Row, column: Column, table: ResultTable) -> str:
    if column not in row.reported:
        return "-"
    note = row.footnotes.get(column)
    return f"{row.reported[column]:.3f}" + (table.mark(note) if note else "")


def _measured(group: Group, run: str, metrics: Sequence[str]) -> list[str]:
    cells = []
    for metric in metrics:
        mean, std = group.mean(run, metric), group.std(run, metric)
        spread = "" if std is None else f" ± {std:.3f}"
        cells.append("-" if mean is None else f"{mean:.3f}{spread}")
    return [*cells, ", ".join(map(str, sorted(group.seeds.get(run, [])))) or "-"]
