"""Formats of a table of results: Markdown, LaTeX, CSV and HTML."""

import csv
import html
import io
from collections.abc import Callable
from dataclasses import dataclass, field

from tabulate import tabulate


@dataclass
class ResultTable:
    """Rows of text under a title, with notes.

    Attributes:
        title: Name of the table.
        columns: Heads of the columns; the first column holds labels.
        rows: Cells of each row; a cell may end in marks of notes such as "[1]".
        notes: Texts of the notes, numbered from 1.
        caption: Protocol, seeds and code of the measurement.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    caption: str = ""

    def mark(self, note: str) -> str:
        """Return the mark of a note, which is added if it is new."""
        if note not in self.notes:
            self.notes.append(note)
        return f" [{self.notes.index(note) + 1}]"

    def body(self, style: str, rewrite: Callable[[str], str] = str) -> str:
        """Write heads and rows in a format of tabulate, every cell rewritten first."""
        rows = [list(map(rewrite, row)) for row in (self.columns, *self.rows)]
        align = None if style == "html" else ("left", *["right"] * (len(self.columns) - 1))
        return tabulate(
            rows[1:], rows[0], style, disable_numparse=True, stralign=None, colalign=align
        )


def markdown(table: ResultTable) -> str:
    """Write a table in GitHub's Markdown."""
    notes = [f"[{number}] {note}  " for number, note in enumerate(table.notes, 1)]
    body = table.body("pipe", lambda cell: cell.replace("|", "\\|"))
    lines = [f"### {table.title}", "", body, "", table.caption, ""]
    return "\n".join([*lines, *notes]).rstrip() + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}


def latex(table: ResultTable) -> str:
    """Write a ``table`` environment for the booktabs package."""
    notes = "".join(f" [{number}] {note}." for number, note in enumerate(table.notes, 1))
    caption = "".join(_LATEX.get(c, c) for c in f"{table.title}. {table.caption}{notes}")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        table.body("latex_booktabs", lambda cell: "--" if cell == "-" else cell),
        r"\end{table}",
    ]
    return "\n".join(lines).replace("±", r"$\pm$") + "\n"


def comma_separated(table: ResultTable) -> str:
    """Write the cells as CSV; notes and caption stand in the other formats."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.columns, *table.rows])
    return buffer.getvalue()


def hypertext(table: ResultTable) -> str:
    """Write a part of a page: one ``figure`` element with a table."""
    title, caption, *notes = map(html.escape, (table.title, table.caption, *table.notes))
    lines = [
        f"<figure>\n<figcaption><strong>{title}</strong><br/>{caption}</figcaption>",
        table.body("html"),
        *([f"<ol>{''.join(f'<li>{note}</li>' for note in notes)}</ol>"] if notes else []),
        "</figure>",
    ]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[ResultTable], str]] = {
    "md": markdown,
    "tex": latex,
    "csv": comma_separated,
    "html": hypertext,
}
"""Writers by file ending."""
