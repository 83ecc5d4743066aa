"""Strokes of sketches that are bitmaps: in an SVG file of the same name beside each."""

from pathlib import Path

import numpy as np
import pytest
import torch

import data_modules
from data_modules.batch import BatchSpec
from data_modules.bundled import read_doodles
from data_modules.datasets.image_source import ImageSource, check_strokes
from data_modules.images.decode import UnreadableImageError
from data_modules.images.drawings import read_strokes, strokes_file, svg_of
from data_modules.images.read import read_image
from data_modules.images.render import render_strokes
from data_modules.prepared.prepare import prepare
from sketchclip.errors import SketchClipError

LINES = [[[0, 90, 255], [0, 200, 30]], [[30], [60]]]


@pytest.fixture
def bitmap(tmp_path: Path) -> Path:
    path = tmp_path / "sketch" / "cat" / "1.v2.png"
    path.parent.mkdir(parents=True)
    render_strokes(LINES, 32).save(path)
    path.with_suffix(".svg").write_text(svg_of(LINES))
    return path


def test_the_drawing_of_a_bitmap_lies_beside_it(bitmap: Path) -> None:
    beside = bitmap.with_name("1.v2.svg")
    assert strokes_file(bitmap) == strokes_file(beside) == beside
    found = ImageSource(read_image, stroke_points=8).strokes(bitmap)
    assert found[:, 2].tolist() == [0, 0, 1, 1, -1, -1, -1, -1]
    np.testing.assert_allclose(found[1, :2], [90 / 255, 200 / 255])
    check_strokes([bitmap, Path("cat.ndjson#3")])
    beside.unlink()
    with pytest.raises(SketchClipError, match=r"1\.v2\.png and no \.svg file"):
        check_strokes([bitmap])


def test_a_broken_drawing_passes_over_its_bitmap(bitmap: Path) -> None:
    bitmap.with_suffix(".svg").write_text("<svg>")
    with pytest.raises(UnreadableImageError, match=r"1\.v2\.svg"):
        ImageSource(read_image, stroke_points=8).strokes(bitmap)
    skipped: list[str] = []
    assert ImageSource(read_image, skip=True, stroke_points=8).read(bitmap, skipped) is None
    assert skipped == [str(bitmap)]
    assert ImageSource(read_image, skip=True).read(bitmap, []) is not None


class Asking(data_modules.Doodles):
    """Doodles for a method that asks for strokes."""

    @property
    def batch_spec(self) -> BatchSpec:
        return BatchSpec(stroke_points=16, image_size=56)


@pytest.mark.slow
def test_doodles_have_their_strokes_beside_unchanged_bitmaps(tmp_path: Path) -> None:
    data = Asking(num_workers=0, eval_batch_size=4)
    drawings = read_doodles()
    listed = [p for side in data.catalogue.training for files in side.values() for p in files]
    assert {path.suffix for path in listed} == {".png", ".webp"}
    for name in (*drawings,)[::20]:
        for number, drawing in enumerate(drawings[name]):
            path = data.catalogue.files.root / "sketch" / name / f"{number:02d}.png"
            pixels = np.asarray(render_strokes(drawing))
            np.testing.assert_array_equal(read_image(path), pixels)
            strokes = read_strokes(path.with_suffix(".svg"))
            assert [s.T.tolist() for s in strokes] == [s[:2] for s in drawing]
    queries, gallery = data.test_dataloader()
    batch, photos = next(iter(queries)), next(iter(gallery))
    assert batch.strokes.shape == (4, 16, 3)
    assert photos.strokes.tolist() == [[[0, 0, -1]] * 16] * 4
    files = [queries.dataset.items.path(i) for i in range(4)]
    prepare(files, data.catalogue.files.root, tmp_path / "ready", data.preprocessing.fit)
    ready = Asking(num_workers=0, eval_batch_size=4, prepared=str(tmp_path / "ready"))
    with pytest.warns(UserWarning, match="are read from their files"):
        loaders = ready.test_dataloader()
    again = next(iter(loaders[0]))
    assert torch.equal(again.image, batch.image)
    assert torch.equal(again.strokes, batch.strokes)
