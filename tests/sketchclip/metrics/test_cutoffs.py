"""Cut-offs of a protocol that a gallery has no use for are left out, and named in no result."""

import json
from pathlib import Path

import pytest

from data_modules import SketchPhotoFolder
from data_modules.batch import Protocol


def metrics_of(cli):
    return json.loads((Path(cli.trainer.log_dir) / "metrics.json").read_text())["metrics"]


@pytest.mark.parametrize(
    ("photos", "map_k", "precision_k"),
    [(8, (), (1,)), (9, (8,), (1, 9)), (10, (8, 9), (1, 9)), (0, (), ())],
)
def test_cut_offs_within_a_gallery(photos, map_k, precision_k):
    found = Protocol(map_k=(8, 9), precision_k=(1, 9)).within(photos)
    assert (found.map_k, found.precision_k) == (map_k, precision_k)


def test_a_gallery_of_eight_photos(run, monkeypatch):
    whole = Protocol(map_k=(7, 8), precision_k=(8, 9))
    monkeypatch.setattr(SketchPhotoFolder, "protocol", whole)
    found = metrics_of(run("test", method="FrozenCLIP"))
    assert {"mAP@all", "mAP@7", "P@8", "P@8_relevant"} <= found.keys()
    assert not [name for name in found if "@9" in name or name.startswith("mAP@8")]


def test_columns_of_a_validation_differ(run):
    cli = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0")
    logged = {name for name in cli.trainer.callback_metrics if name.startswith("val/")}
    assert {"val/mAP@all", "val/P@1"} <= logged
    assert not {"val/mAP@200", "val/P@100", "val/P@200"} & logged
