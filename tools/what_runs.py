"""README's tables of what runs: each system with its config and figures, reported and measured.

python tools/what_runs.py

Reported figures are those of sketchclip/tables, measured ones those kept in results.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- what runs: make readme -->\n", "<!-- /what runs -->"
_GROUPS = ("earlier", "baseline", "ours", "later")
_REPORTED = {
    "category level": ("Sketchy mAP@200", "TU-Berlin mAP@all", "QuickDraw mAP@all"),
    "fine-grained": ("Sketchy Acc@1",),
}
# Column of README: folder of results and column there.
_MEASURED = {
    "category level": {
        "Doodles mAP@all": ("doodles.csv", "mAP@all"),
        "photos mAP@all": ("photos.csv", "mAP@all"),
    },
    "fine-grained": {
        "EmojiPairs Acc@1": ("emoji_pairs.csv", "Acc@1 (class gallery)"),
        "small sketches Acc@1": ("small_sketches.csv", "Acc@1 (class gallery)"),
    },
}
_NONE = "-"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _systems() -> Iterator[dict[str, str]]:
    """Rows of the paper's table and those after it, in the order of the groups."""
    tables = REPOSITORY / "sketchclip" / "tables"
    found = [row for name in ("paper", "later") for row in _rows(tables / f"{name}.csv")]
    for group in _GROUPS:
        yield from (row for row in found if row["group"] == group)


def _measured(file: str, column: str) -> dict[str, str]:
    """Figures by label of the row, without notes and what a variant adds to its label."""
    figures: dict[str, str] = {}
    for folder in ("later", "one_backbone"):  # of a row that both have, the second stays
        path = REPOSITORY / "results" / folder / file
        if not path.is_file():
            continue
        for row in _rows(path):
            label = re.sub(r" \[\d+\]$|, .*$", "", row[""])
            figures[label] = _NONE if row[column] == "-" else row[column]
    return figures


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _reported(cell: str) -> str:
    """Figure of a table's cell; one with a note has a mark."""
    value, _, note = cell.partition(" ")
    return f"{float(value):.3f}{' †' if note else ''}" if value else _NONE


def table(level: str) -> str:
    """Table of one level, in Markdown.

    Args:
        level: ``category level`` or ``fine-grained``.
    """
    reported, measured = _REPORTED[level], _MEASURED[level]
    columns: Mapping[str, dict[str, str]] = {n: _measured(*at) for n, at in measured.items()}
    fine = level == "fine-grained"
    lines = [_line([level, "config", *reported, *columns])]
    lines.append(_line(["---", "---", *["---:"] * (len(reported) + len(columns))]))
    ours = [figures["frozen"] for figures in columns.values()]
    lines.append(_line(["frozen CLIP", "`--model FrozenCLIP`", *[_NONE] * len(reported), *ours]))
    for row in _systems():
        if ("FineGrained" in row["method"] or row["method"] in ("CrossGrad", "CCDG")) != fine:
            continue
        told = [_reported(row.get(name, "")) for name in reported]
        found = [figures.get(row["label"], _NONE) for figures in columns.values()]
        label = f"**{row['label']}**" if row["group"] == "ours" else row["label"]
        lines.append(_line([label, f"`{row['config']}`", *told, *found]))
    return "\n".join(lines)


def rewritten(text: str) -> str:
    """README with the tables between their markers."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    tables = "\n\n".join(table(level) for level in _REPORTED)
    return f"{before}{BEGIN}{tables}\n{END}{after}"


def main() -> None:
    """Rewrite README."""
    README.write_text(rewritten(README.read_text("utf-8")), encoding="utf-8")
    print(f"Written: {README}")


if __name__ == "__main__":
    main()
