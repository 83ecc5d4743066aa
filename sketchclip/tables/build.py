"""Tables of the paper with a column of reported and one of measured values for each metric."""

from collections.abc import Sequence

from sketchclip.metrics.definitions import metric_info, of_queries
from sketchclip.tables.formats import ResultTable
from sketchclip.tables.measured import Group
from sketchclip.tables.paper import LATER, ROWS, Column, Row

# Dataset whose reported values stand beside the results of a data module; Sketchy's for others.
_REPORTED = {"TUBerlin": "TU-Berlin", "QuickDraw": "QuickDraw"}
_KNOWN = ("Sketchy", "SketchyBasic", "TUBerlin", "QuickDraw", "Doodles", "EmojiPairs")
# Measured columns that a table has beside the usual ones where values of their definition stand.
_DEFINITIONS = {
    "(voc)": ("mAP@200_voc",),
    "(prefix)": ("mAP@200_prefix",),
    "(relevant)": ("P@100_relevant", "P@200_relevant"),
}
_CATEGORY = ("mAP@all", "mAP@200", "P@1", "P@5", "P@100", "P@200")
_INSTANCE = ("Acc@1", "Acc@5", "Acc@1_all", "Acc@5_all")


def build_tables(group: Group) -> list[ResultTable]:
    """Build the main table, the ablations, and tables of other runs where measured.

    Cross-dataset and generalised tests have one table, without a column of reported values.
    """
    known = {row.id: row for row in (*ROWS, *LATER)}
    fine = any(known[name].fine_grained for name in group.runs if name in known)
    if group.kind:
        return [_table(group.kind, group, [], list(group.runs), fine)]
    rows = [row for row in known.values() if row.fine_grained == fine]
    frozen = [name for name in group.runs if name.endswith("frozen")]
    other = [name for name in group.runs if name not in known and name not in frozen]
    # On data of one's own, rows without a run say nothing, and all runs stand together.
    own = group.dataset not in _KNOWN
    if own:
        rows = [row for row in rows if row.id in group.runs]
    tables: list[ResultTable] = []
    for title, members, needed in (
        ("Main table", ("earlier", "baseline", "ours"), ("earlier", "baseline", "ours")),
        ("Ablations", ("ours", "ablation"), ("ablation",)),
        ("After the paper", ("ours", "later"), ("later",)),
    ):
        if any(row.id in group.runs for row in rows if row.group in needed):
            chosen = [row for row in rows if row.group in members]
            extra = [*frozen, *other] if own and not tables else frozen
            tables.append(_table(title, group, chosen, extra, fine))
    if (other and not own) or not tables:
        tables.append(_table("Runs", group, [], other if tables else [*frozen, *other], fine))
    return tables


def _table(
    title: str, group: Group, rows: Sequence[Row], extra: Sequence[str], fine: bool
) -> ResultTable:
    """Build a table of published rows, below runs that are none."""
    dataset = "Sketchy" if fine else _REPORTED.get(group.dataset, "Sketchy")
    of_rows = dict.fromkeys(column for row in rows for column in row.reported)
    reported = [c for c in of_rows if c[0] == dataset and c[1].startswith("Acc") == fine]
    wanted = list(_INSTANCE if fine else _CATEGORY)
    for definition, names in _DEFINITIONS.items():
        if any(metric.endswith(definition) for _, metric in reported):
            wanted += names
    metrics = _columns(group, wanted)
    later = any(row.source for row in rows)
    heads = [f"{'reported' if later else 'paper'}: {name} {metric}" for name, metric in reported]
    columns = ["", *heads, *metrics.values(), "seeds"]
    table = ResultTable(f"{title}: {group.dataset}", columns)
    for name in extra:
        table.rows.append(
            [group.label(name), *["-"] * len(heads), *_measured(group, name, [*metrics])]
        )
    for row in rows:
        cells = [_reported(row, column, table) for column in reported]
        label = group.label(row.id) + (table.mark(row.source) if row.source else "")
        table.rows.append([label, *cells, *_measured(group, row.id, [*metrics])])
    table.caption = (
        f"Measured: {group.protocol}. Mean ± sample standard deviation over seeds; code at "
        f"{', '.join(sorted(group.commits))}."
    )
    if heads and later:
        table.caption += (
            " Columns headed reported are what sources print for the dataset named there, each on "
            "the backbone of its row: (voc), (prefix) and (relevant) are definitions of "
            "docs/evaluation.md, and without one none is stated. Rows whose checkpoint was chosen "
            "on test classes are among them: ZSE and MARL, by their code. '-' is not reported or "
            "not measured."
        )
    elif heads:
        table.caption += (
            " Columns headed paper are what it reports, with OpenAI's ViT-B/32 on the dataset "
            "named there; '-' is not reported or not measured."
        )
    return table


def _columns(group: Group, names: Sequence[str]) -> dict[str, str]:
    """Metrics that were measured, with the heads of their columns.

    Queries of seen classes, and the harmonic mean of them and the others, have columns of their
    own.
    """
    measured = {name for values in group.runs.values() for name in values}
    heads: dict[str, str] = {}
    for name in names:
        apart = [of_queries(name, kind) for kind in ("seen", "H")]
        unseen = "unseen " if measured.intersection(apart) else ""
        labels = {name: unseen + metric_info(name).label}
        labels |= {other: metric_info(other).label for other in apart}
        heads |= {metric: label for metric, label in labels.items() if metric in measured}
    return heads


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
