"""Batches as a whole, tables of images, and the datasets of evaluation."""

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from data_modules.batch import ImageBatch, TrainingBatch
from data_modules.datasets.evaluation import ImageDataset, instances
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.image_table import ImageTable
from data_modules.images.decode import UnreadableImageError
from tests.helpers.named import CLASSES, PHOTOS, SKETCHES, Codes, photo_name


def filled(kind):
    """A batch with something in every field."""
    values = {f.name: torch.arange(6.0).view(2, 3) for f in fields(kind) if f.name != "skipped"}
    return kind(**values, skipped=["a", "b"])


@pytest.mark.parametrize("kind", [TrainingBatch, ImageBatch])
def test_a_batch_moves_pins_and_collates_as_one(kind, monkeypatch):
    batch = filled(kind)
    tensors = [f.name for f in fields(kind) if f.name != "skipped"]
    moved = batch.to("meta", non_blocking=True)
    assert {getattr(moved, n).device.type for n in tensors} == {"meta"}
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)  # needs a GPU
    pinned = batch.pin_memory()
    assert all(torch.equal(getattr(pinned, n), getattr(batch, n) + 1) for n in tensors)
    two = kind.collate([batch, filled(kind)])
    assert all(getattr(two, n).shape == (2, 2, 3) for n in tensors)
    assert two.skipped == ["a", "b", "a", "b"]
    assert moved.skipped == pinned.skipped == ["a", "b"]
    for name in tensors:
        empty = filled(kind)
        setattr(empty, name, None)
        assert getattr(kind.collate([empty, empty]).to("cpu"), name) is None
    assert torch.equal(pickle.loads(pickle.dumps(batch)).label, batch.label)


def test_a_table_of_images_is_a_few_arrays():
    names = {c: [Path(f"{c}/ü {i}.png") for i in range(1000)] for c in ("b", "a")}
    table = ImageTable(names, ["b", "none", "a"])
    expected = [(p, 0) for p in names["b"]] + [(p, 2) for p in names["a"]]
    assert list(table) == expected
    assert table[-1] == expected[-1]
    assert table[998:1002] == expected[998:1002]
    assert table.counts.tolist() == [1000, 0, 1000]
    assert {type(v) for v in vars(table).values()} == {np.ndarray}
    with pytest.raises(IndexError):
        table[2000]


def test_evaluation_instances_match_within_a_class():
    gallery = {**PHOTOS, "cat": [Path("p/cat/0.jpg"), Path("q/cat/0.png"), Path("p/cat/9.jpg")]}
    sketch_ids, photo_ids = instances(SKETCHES, gallery, CLASSES, photo_name)
    assert photo_ids.tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 8]  # two files of one photo
    assert sketch_ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, -1, -1, -1, -1]
    # In a generalised test seen classes have photos and no sketch.
    sketch_ids, photo_ids = instances({"ant": []}, PHOTOS, ["ant"], photo_name)
    assert (len(sketch_ids), photo_ids.tolist()) == (0, [0, 1, 2])


def test_an_unreadable_image_keeps_its_place_in_evaluation():
    reader = Codes(PHOTOS, ("p/bee/1",))
    ids = np.arange(9)
    strict = ImageDataset(PHOTOS, CLASSES, ImageSource(reader), "photo", 2, ids)
    with pytest.raises(UnreadableImageError, match="p/bee/1"):
        strict[4]
    lenient = ImageDataset(PHOTOS, CLASSES, ImageSource(reader, skip=True), "photo", 2, ids)
    batch = ImageBatch.collate([lenient[i] for i in range(9)])
    assert batch.index.tolist() == [0, 1, 2, 3, -1, 5, 6, 7, 8]
    assert (batch.image[4] == 255).all()
    assert batch.skipped == ["p/bee/1"]
    assert batch.side.tolist() == [1] * 9
    assert (lenient.readable({"p/bee/1", "elsewhere"}), lenient.readable(())) == (8, 9)
