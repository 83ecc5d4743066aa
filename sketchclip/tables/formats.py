"""A table of results as Markdown, LaTeX, CSV and HTML."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class ResultTable:
    """Rows of text under a title, with notes.

    Attributes:
        title: What is measured.
        columns: Heads; the first is that of the labels.
        rows: As many cells each; a cell may end in note marks such as "[1]".
        notes: Numbered from 1.
        caption: Protocol, seeds, code.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    caption: str = ""

    def mark(self, note: str) -> str:
        """Mark of a note, which is added if it is new."""
        if note not in self.notes:
            self.notes.append(note)
        return f" [{self.notes.index(note) + 1}]"


def markdown(table: ResultTable) -> str:
    """GitHub's Markdown."""
    head = [_line(table.columns), _line(["---", *["---:"] * (len(table.columns) - 1)])]
    lines = [f"### {table.title}", "", *head, *map(_line, table.rows), "", table.caption]
    lines += ["", *(f"[{n}] {note}  " for n, note in enumerate(table.notes, 1))]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}


def latex(table: ResultTable) -> str:
    """A ``table`` environment for the booktabs package."""
    body = [" & ".join(map(_tex, row)) + r" \\" for row in table.rows]
    notes = "".join(f" [{n}] {_tex(note)}." for n, note in enumerate(table.notes, 1))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(table.title)}. {_tex(table.caption)}{notes}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    escaped = "".join(_LATEX.get(c, c) for c in text)
    return escaped.replace("±", r"$\pm$").replace("-", "--" if text == "-" else "-")


def comma_separated(table: ResultTable) -> str:
    """CSV of the cells; notes and caption stand in the other formats."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return buffer.getvalue()


def hypertext(table: ResultTable) -> str:
    """A page fragment: one ``figure`` with a table."""
    escape = html.escape
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    lines = [
        "<figure>",
        f"<figcaption><strong>{escape(table.title)}</strong><br/>{escape(table.caption)}</figcaption>",
        f"<table><thead><tr>{head}</tr></thead>",
        "<tbody>",
        *rows,
        "</tbody></table>",
        *([f"<ol>{notes}</ol>"] if notes else []),
        "</figure>",
    ]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[ResultTable], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": hypertext,
}
"""By file ending."""
