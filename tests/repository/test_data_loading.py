import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import data_loading


def test_the_official_loader_pads_with_black_and_normalizes(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (100, 50), (255, 0, 51)).save(path)
    dataset = data_loading.OfficialTriplets({"cat": [path]}, {"cat": [path]})
    image = dataset[0][0].numpy()
    assert image.shape == (3, 224, 224)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(image[:, 112, 112], ([1, 0, 0.2] - mean) / std, rtol=1e-5)
    np.testing.assert_allclose(image[:, 10, 112], -mean / std, rtol=1e-5)


@pytest.mark.slow
def test_every_loader_is_measured(tmp_path, monkeypatch, capsys):
    result = tmp_path / "result.json"
    options = "--workers 0 --batch 16 --repeats 1 --classes 4 --photo 48 --json"
    monkeypatch.setattr(sys, "argv", ["data_loading.py", *options.split(), str(result)])
    data_loading.main()
    rows = json.loads(result.read_text())["results"]
    assert list(rows) == [
        "official",
        "ours, files",
        "ours, files, normalized elsewhere",
        "ours, prepared",
        "ours, prepared, normalized elsewhere",
    ]
    assert all(row["rates"][0] > 0 and row["costs"][0] > 0 for row in rows.values())
    assert all(row["peak"] > 0 for row in rows.values())
    assert "| x official |" in capsys.readouterr().out
