"""The commands of evaluation.md on other protocols run, on the bundled benchmark."""

import json
import shlex

import pytest

from sketchclip.cli import main
from tests.repository.test_docs import DOCS, commands

FEW = ("--trainer.limit_train_batches", "1", "--grids.queries", "0")


@pytest.mark.slow
def test_other_protocols_are_measured_and_tabled_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for line in commands(DOCS / "evaluation.md", "Other protocols"):
        program, command, *args = shlex.split(line)
        assert program == "sketchclip"
        found.append(main([command, *args, *(FEW if command == "fit" else ())]))
    cross, generalised = (
        json.loads((tmp_path / "runs" / "doodles" / run / "test" / "metrics.json").read_text())
        for run in ("version_0", "version_1")
    )
    assert len(cross["removed_classes"]) == 40
    assert len(cross["unseen_classes"]) == 194
    assert generalised["held_out"]
    assert {"mAP@all", "seen_mAP@all", "H_mAP@all"} <= generalised["metrics"].keys()
    titles = [[table.title for table in tables] for tables in (found[2], found[5])]
    assert titles == [
        ["Cross-dataset: Doodles"],
        ["Cross-dataset: Doodles", "Generalised: Doodles"],
    ]
