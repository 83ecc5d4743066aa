"""Rows of the paper's tables: the config that makes each, and the values the paper reports for it.

``paper.csv`` holds Sain et al., CVPR 2023, main table and ablation table, read from its poster and
the pictures in its repository. The paper heads the ablations mAP@all, but Ours is its mAP@200. One
list drives tests, documentation and tables, so that a row is written down once.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

Column = tuple[str, str]
"""Dataset and metric of a column of the paper."""

SKETCHY = ("Sketchy", "mAP@200"), ("Sketchy", "P@200")
TU_BERLIN = ("TU-Berlin", "mAP@all"), ("TU-Berlin", "P@100")
QUICKDRAW = ("QuickDraw", "mAP@all"), ("QuickDraw", "P@200")
FINE_GRAINED = ("Sketchy", "Acc@1"), ("Sketchy", "Acc@5")

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
        reported: The paper's values by dataset and metric, 0 to 1.
        footnotes: Remarks on unusual values.
    """

    id: str
    label: str
    group: Literal["earlier", "baseline", "ours", "ablation"]
    method: str
    config: str
    reported: Mapping[Column, float] = field(default_factory=dict)
    footnotes: Mapping[Column, str] = field(default_factory=dict)

    @property
    def fine_grained(self) -> bool:
        """True if it retrieves the one photo that a sketch was drawn from."""
        return self.id.startswith(("fg_", "b_fg_"))


def _read(line: dict[str, Any]) -> Row:
    reported, footnotes = {}, {}
    for column in (*SKETCHY, *TU_BERLIN, *QUICKDRAW, *FINE_GRAINED):
        value, _, note = line[" ".join(column)].partition(" ")
        if value:
            reported[column] = float(value)
        if note:
            footnotes[column] = _NOTES[note]
    texts = {name: line[name] for name in ("id", "label", "group", "method", "config")}
    return Row(**texts, reported=reported, footnotes=footnotes)


_TEXT = (files("sketchclip.tables") / "paper.csv").read_text("utf-8")
ROWS: tuple[Row, ...] = tuple(_read(line) for line in csv.DictReader(_TEXT.splitlines()))
