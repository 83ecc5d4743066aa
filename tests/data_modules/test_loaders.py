"""Loaders: random streams, pixels, and batches as the method asks for them."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch

from data_modules import SketchPhotoFolder
from data_modules.batch import IMAGENET_MEAN, IMAGENET_STD
from data_modules.datasets.sampling import EpochSampler
from data_modules.listing.names import canonical
from data_modules.prepared.prepare import prepare
from data_modules.transforms import Fit
from sketchclip.clip import text_heads
from sketchclip.errors import SketchClipError
from tests.helpers.recording import PLAIN, Recorder, asked, fit


def epoch_of(data: SketchPhotoFolder, epoch: int) -> dict[int, tuple[torch.Tensor, ...]]:
    """Sketch index to the images drawn for it."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    keys = [index for _, index in loader.sampler]
    batches = list(loader)
    images = [torch.cat([getattr(b, n) for b in batches]) for n in ("sketch", "photo", "negative")]
    assert images[0].dtype == torch.uint8
    return dict(zip(keys, zip(*images, strict=True), strict=True))


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        all(torch.equal(x, y) for x, y in zip(a[i], b[i], strict=True)) for i in a
    )


@pytest.mark.parametrize("augment", ["none", "both"])
def test_samples_depend_on_seed_and_epoch_alone(tree, augment):
    def draw(epoch: int, **options: Any) -> dict:
        return epoch_of(asked(tree, options={"augment": augment, **options}), epoch)

    first = draw(3)
    assert len(first) == 6 * 3  # every sketch once
    assert same(first, draw(3))
    assert same(first, draw(3, num_workers=2))
    assert not same(first, draw(4))
    assert not same(first, draw(3, seed=1))
    shares = [epoch_of(asked(tree, 2, r, {"augment": augment}), 3) for r in (0, 1)]
    assert same(first, {**shares[0], **shares[1]})
    assert not shares[0].keys() & shares[1].keys()


def test_without_shuffling_sketches_come_by_class_and_file(tree):
    data = asked(tree, options={"shuffle": False})
    loader = data.train_dataloader()
    files = [path for name in data.class_names for path in data.catalogue.training[0][name]]
    assert [path for path, _ in loader.dataset.sketches] == files
    assert files == sorted(files)
    for epoch in (0, 3):
        loader.sampler.set_epoch(epoch)
        assert [*loader.sampler] == [(epoch, at) for at in range(len(files))]
        labels = torch.cat([batch.label for batch in loader])
        assert labels.tolist() == sorted(labels.tolist())
    loader = asked(tree).train_dataloader()
    assert [at for _, at in loader.sampler] != [*range(len(files))]


def test_augmentation_differs_between_samples_workers_and_epochs(tmp_path, make_tree):
    # One drawing under many names: equal pixels could only come from equal random numbers.
    root = make_tree(tmp_path / "data", classes=4, sketches=12, photos=2)
    files = [*root.glob("sketch/*/*.png")]
    for path in files[1:]:
        shutil.copy(files[0], path)
    options = {"augment": "sketches", "num_workers": 2, "batch_size": 4}
    drawn = [epoch_of(asked(root, options=options), e) for e in (0, 1)]
    pixels = [sketch.numpy().tobytes() for epoch in drawn for sketch, *_ in epoch.values()]
    assert len(pixels) == 2 * 2 * 12
    assert len(set(pixels)) == len(pixels)


def test_instance_pairs_are_mirrored_together_or_not_at_all(tree):
    for augment, pairing, flip in (
        ("both", "instance_triplet", True),
        ("photos", "instance_triplet", False),
        ("photos", "class_triplet", True),
    ):
        data = asked(tree, options={"augment": augment}, pairing=pairing)
        assert data.train_dataloader().dataset.source.augment.flip is flip


@pytest.mark.parametrize("name", ["model", "imagenet"])
def test_normalisation_on_the_device_equals_that_of_the_loader(tree, name):
    import albumentations as A

    mean, std = (0.2, 0.3, 0.4), (0.5, 0.25, 0.75)
    data = asked(tree, options={"normalization": name}, mean=mean, std=std)
    loader = data.train_dataloader()
    batch = next(iter(loader))
    done = data.on_after_batch_transfer(batch, 0)
    if name == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    old = A.Normalize(mean=mean, std=std)
    for part in ("sketch", "photo", "negative"):
        expected = [old(image=i.permute(1, 2, 0).numpy())["image"] for i in getattr(batch, part)]
        found = getattr(done, part)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.permute(0, 2, 3, 1), np.stack(expected), atol=2e-6)
    assert torch.equal(done.label, batch.label)
    image = next(iter(data.test_dataloader()[0]))
    assert image.image.dtype == torch.uint8
    assert data.normalize(image).image.dtype == torch.float32


def test_a_model_gets_normalised_images_and_says_how_to_fit_them(tree, tmp_path):
    class Asks(Recorder):
        interpolation = "bilinear"

        def training_step(self, batch, batch_idx):
            self.batch = batch
            return super().training_step(batch, batch_idx)

        def embed(self, images, side):
            assert images.dtype == torch.float32
            assert images.shape[1:] == (3, 32, 32)
            assert images.max() <= 2.0  # white by the mean and deviation of this model
            return super().embed(images, side)

    data, model = SketchPhotoFolder(root=str(tree), **PLAIN), Asks()
    trainer = fit(data, tmp_path, model, fast_dev_run=True)
    assert model.batch.sketch.max() == 2.0
    fitted = data.train_dataloader().dataset.source.reader.fit
    assert (fitted.size, fitted.interpolation) == (32, "bilinear")
    trainer.test(model, datamodule=data, verbose=False)


def test_without_a_trainer_images_are_those_of_vit_b32(tree):
    data = SketchPhotoFolder(root=str(tree), **PLAIN)
    batch = next(iter(data.train_dataloader()))
    assert batch.sketch.shape == (4, 3, 224, 224)
    white = data.normalize(batch).sketch.amax((0, 2, 3))
    torch.testing.assert_close(white, torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-4, rtol=0)


def test_the_method_decides_what_a_batch_holds(tree):
    triplets = asked(tree, pairing="class_triplet").train_dataloader()
    assert isinstance(triplets.sampler, EpochSampler)
    assert next(iter(triplets)).negative.shape == (4, 3, 32, 32)
    assert next(iter(asked(tree, pairing="class_pair").train_dataloader())).negative is None
    singles = asked(tree, pairing="singles", sketch_ratio=0.25).train_dataloader()
    sides = torch.cat([batch.side for batch in singles])
    assert (int((sides == 0).sum()), int((sides == 1).sum())) == (18, 54)
    pairs = asked(tree, pairing="instance_triplet").train_dataloader()
    for batch in pairs:
        for photo in batch.instance.tolist():
            assert pairs.dataset.photos.path(photo).stem in ("0", "1", "2")  # of the sketches
    with pytest.raises(SketchClipError, match="needs sketches as strokes"):
        asked(tree, stroke_points=16).train_dataloader()


def test_data_without_pairs_stops_an_instance_method(tmp_path, make_tree):
    root = make_tree(tmp_path / "data")
    for path in [*root.glob("sketch/*/*.png")]:
        path.rename(path.with_name(f"drawn by hand {path.name}"))
    with pytest.raises(SketchClipError, match=r"needs each sketch's own photo.*drawn by hand"):
        asked(root, pairing="instance_triplet").train_dataloader()


def test_evaluation_batches_know_side_place_and_instance(tree):
    queries, gallery = asked(tree, options={"eval_batch_size": 4}).test_dataloader()
    sketches, photos = list(queries), list(gallery)
    assert {int(s) for b in sketches for s in b.side} == {0}
    assert {int(s) for b in photos for s in b.side} == {1}
    assert torch.cat([b.instance for b in photos]).tolist() == list(range(8))
    for batch in sketches:
        for index, own in zip(batch.index.tolist(), batch.instance.tolist(), strict=True):
            sketch, photo = queries.dataset.items[index][0], gallery.dataset.items[own][0]
            assert (sketch.parent.name, sketch.stem) == (photo.parent.name, photo.stem)


@pytest.mark.parametrize("validation", ["pseudo_unseen", "none"])
def test_unseen_classes_never_reach_training(tree, validation):
    data = asked(tree, options={"validation": validation})
    training = data.train_dataloader().dataset
    used = {p.parent.name for p, _ in [*training.sketches, *training.photos]}
    hidden = {*data.catalogue.split.unseen, *data.catalogue.val_classes}
    assert {canonical(c) for c in used} == set(data.class_names) == set(training.classes)
    assert not hidden & set(data.class_names)
    for loader in data.test_dataloader():
        names = {canonical(p.parent.name) for p, _ in loader.dataset.items}
        assert names == set(data.catalogue.split.unseen)


def test_text_bank_holds_the_training_classes_alone(run, monkeypatch):
    asked_for = []
    real = text_heads.encode_classes
    monkeypatch.setattr(
        text_heads, "encode_classes", lambda *a: asked_for.append(list(a[2])) or real(*a)
    )
    cli = run("fit", "--trainer.fast_dev_run", "1")
    assert asked_for == [cli.datamodule.class_names]
    assert not {
        *cli.datamodule.catalogue.split.unseen,
        *cli.datamodule.catalogue.val_classes,
    } & set(asked_for[0])
    assert len(cli.model.text_bank()) == 4  # 8 classes, 2 unseen, 2 for validation
    asked_for.clear()
    run("test", "--trainer.fast_dev_run", "1")
    assert asked_for == []  # testing needs no class name


def test_prepared_images_and_overfitting_train_too(tree, tmp_path, run):
    prepare([*tree.glob("*/*/*.png")], tree, tmp_path / "p", Fit(32), 1, False)
    prepared = {"prepared": str(tmp_path / "p")}
    assert same(epoch_of(asked(tree), 1), epoch_of(asked(tree, options=prepared), 1))
    run("fit", "--trainer.overfit_batches", "2", "--trainer.max_epochs", "2")
