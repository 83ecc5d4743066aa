"""Rows of published tables: the config that makes each, and the values reported for it.

``paper.csv`` holds Sain et al., CVPR 2023, main table and ablation table, read from its poster and
the pictures in its repository. The paper heads the ablations mAP@all, but Ours is its mAP@200.
``later.csv`` holds systems after it, each column of one definition: "(voc)" and "(prefix)" as in
docs/evaluation.md, "(relevant)" for hits among the first min(k, R) by that number, and none where
no source states one. The lists drive tests, documentation and tables, so that a row is written down
once.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

Column = tuple[str, str]
"""Dataset and metric of a column of reported values."""

_BELOW_CHANCE = (
    "below chance (.034 for 30 balanced classes): no evaluation of this gallery gives it"
)
# Notes by their letter behind a value in paper.csv.
_NOTES = {
    "a": f"from another paper's run; {_BELOW_CHANCE}",
    "b": "mAP@all in its own paper",
    "c": "P@200 in its own paper",
    "d": "above its P@200, which the strict definition excludes: prefix mAP",
    "e": "the same two numbers as ZS-GRL, probably copied",
    "f": "the same number as ZS-PSKD's",
    "g": "its own repository has mAP@all .575 and P@200 .624",
    "h": "its own repository has P@200 .648",
    "i": "below a frozen CLIP; collapsed training or another evaluation",
    "j": _BELOW_CHANCE,
    "k": "the paper does not define mAP@200; its mAP is below its precision, as in the strict "
    "definition",
    "l": "chance for a gallery of the 100 photos of one class",
}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        id: Short name, unique.
        label: Name that the paper prints.
        group: Part of the table.
        method: Class that implements it.
        config: Config that runs it, under ``experiments``.
        reported: Published values by dataset and metric, 0 to 1.
        footnotes: Remarks on unusual values.
        source: Where they are from if not from the paper, and on which galleries.
    """

    id: str
    label: str
    group: Literal["earlier", "baseline", "ours", "ablation", "later"]
    method: str
    config: str
    reported: Mapping[Column, float] = field(default_factory=dict)
    footnotes: Mapping[Column, str] = field(default_factory=dict)
    source: str = ""

    @property
    def fine_grained(self) -> bool:
        """True if it retrieves the one photo that a sketch was drawn from."""
        return self.id.startswith(("fg_", "b_fg_"))


def _read(name: str) -> tuple[Row, ...]:
    text = (files("sketchclip.tables") / name).read_text("utf-8")
    return tuple(_row(line) for line in csv.DictReader(text.splitlines()))


def _row(line: dict[str, Any]) -> Row:
    texts = {name: line.pop(name, "") for name in _TEXTS}
    reported, footnotes = {}, {}
    for head, cell in line.items():
        dataset, _, metric = head.partition(" ")
        value, _, note = cell.partition(" ")
        if value:
            reported[dataset, metric] = float(value)
        if note:
            footnotes[dataset, metric] = _NOTES[note]
    return Row(**texts, reported=reported, footnotes=footnotes)


_TEXTS = ("id", "label", "group", "method", "config", "source")
ROWS = _read("paper.csv")
"""Rows of the paper's main table and of its ablations."""
LATER = _read("later.csv")
"""Rows of systems after the paper."""
LABELS = {row.id: row.label for row in (*ROWS, *LATER)}
"""Printed name of each row."""


def label_of(run: str) -> str:
    """Printed name of a run: that of its row, frozen for an encoder as it is, else its own.

    >>> label_of("fg_ours"), label_of("fg_frozen"), label_of("my_idea")
    ('Ours', 'frozen', 'my_idea')
    """
    return "frozen" if run.endswith("frozen") else LABELS.get(run, run)


def is_named(run: str, asked: str) -> bool:
    """Whether a user means this run: by its own name or the printed one, in any case.

    >>> is_named("fg_ours", "ours"), is_named("fg_ours", "fg_ours"), is_named("b_ft", "ours")
    (True, True, False)
    """
    return asked.casefold() in (run.casefold(), label_of(run).casefold())
