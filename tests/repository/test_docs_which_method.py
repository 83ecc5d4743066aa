"""The page on choosing a method: its figures are those of results/, its names exist."""

import csv
import re

import pytest

from sketchclip import methods
from tests.helpers.paths import REPOSITORY
from tests.repository.test_docs import DOCS

TEXT = (DOCS / "which-method.md").read_text("utf-8")
RESULTS = REPOSITORY / "results"
SOURCES = ("one_backbone", "later")


def tables(section):
    """Cells of the rows of the first table below a line that begins with these words."""
    after = TEXT.partition(section)[2]
    lines = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert lines is not None
    return [[c.strip() for c in line.strip("|\n").split("|")] for line in lines[0].splitlines()[2:]]


def measured(name, column):
    """Values of a column by the row's name; notes in brackets are no part of it."""
    found: dict[str, str] = {}
    for source in reversed(SOURCES):  # the first of them counts where both have a row
        path = RESULTS / source / f"{name}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found[re.sub(r" \[\d+\]$", "", row[""])] = row[column]
    return found


def costs():
    found = {}
    for source in reversed(SOURCES):
        text = (RESULTS / source / "doodles.md").read_text("utf-8").partition("### Cost")[2]
        for line in re.findall(r"^\| \S.*\|$", text, re.MULTILINE):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[cells[0]] = [cells[1], cells[4]]
    return found


def test_figures_are_those_of_the_results():
    doodles, photos = measured("doodles", "mAP@all"), measured("photos", "mAP@all")
    rows = tables("## What was measured")
    assert len(rows) >= 10
    for name, _, *shown in rows:
        cost = ["0", "-"] if name == "frozen" else costs()[name]
        assert shown == [doodles[name], photos[name], *cost], name
    assert costs()["Ours"][1] == "337"
    values = sorted((float(v.split()[0]) for v in doodles.values() if v != "-"), reverse=True)
    near = [value for value in values[1:] if values[0] - value < 0.0051]
    assert len(near) == 5
    assert "five rows lie within .005 of the first" in TEXT


def test_fine_grained_figures_are_those_of_the_results():
    known = measured("small_sketches", "Acc@1 (class gallery)")
    for name, _, shown in tables("Fine-grained, on outlines"):
        assert shown == known[name], name


@pytest.mark.parametrize("column", [3, 4])
def test_names_exist(column):
    rows = tables("## By goal")
    assert len(rows) >= 10
    for row in rows:
        for name in re.findall(r"`([^`]+)`", row[column]):
            if name.endswith(".yaml"):
                assert (REPOSITORY / "experiments" / name.removeprefix("experiments/")).is_file()
            elif column == 3 and name[0].isupper() and "-" not in name:
                assert hasattr(methods, name), name
