"""Printed report of ``sketchclip data check``: a table, examples, the command to type."""

import os
import sys
import textwrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sketchclip.data_check.check import Report
from sketchclip.data_check.findings import Finding
from sketchclip.errors import printable

EXAMPLES = 20
"""Most items printed for a finding; ``--json`` holds them all."""

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red", "skipped": "dim"}


def print_report(report: Report) -> None:
    """Print a report."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    data = report.contents.data
    root = data.catalogue.files.layout.root
    print(printable(f"{root}: {type(data).__name__}, recognized by {report.recognized}."))
    table = Table()
    for name in ("check", "", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in report.findings:
        # Text: a path may hold what rich would read as markup.
        status = Text(finding.status, style=_STYLES[finding.status])
        found, advice = (
            Text(printable(text, lines=True)) for text in (finding.found, finding.advice)
        )
        table.add_row(Text(finding.name), status, found, advice)
    console.print(table)
    for finding in report.findings:
        if finding.items and finding.status in ("warning", "error"):
            _print_items(finding, f"{data.catalogue.files.layout.root}{os.sep}")
    counts = {s: sum(f.status == s for f in report.findings) for s in ("error", "warning")}
    told = ", ".join(f"{n} {status}{'' if n == 1 else 's'}" for status, n in counts.items())
    print(f"\n{'Ready' if report.ready else 'Not ready'}: {told}, {report.seconds:.0f} s.")
    print(report.command or "No 'sketchclip fit' works here yet; see fit in the table.")


def _print_items(finding: Finding, folder: str) -> None:
    """Print a line for each item with a detail or path, else all in one paragraph."""
    # Items that come with a proposal are the easiest to correct.
    items = sorted(finding.items, key=lambda item: not item.detail)
    shown, more = items[:EXAMPLES], items[EXAMPLES:]
    rest = f"and {len(more):,} more (--json FILE lists all)"
    print(f"\n{finding.name}, {len(items):,}:")
    if any(item.detail for item in shown) or os.sep in shown[0].name:
        lines = [str(item).replace(folder, "") for item in shown] + ([rest] if more else [])
    else:
        text = ", ".join(item.name for item in shown) + (f" {rest}" if more else "")
        lines = textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)
    print("\n".join(f"  {printable(line)}" for line in lines))
