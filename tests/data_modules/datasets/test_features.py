"""Features in place of images: the same training, each image read once, and only where allowed."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from data_modules import SketchPhotoDataModule
from data_modules.datasets.image_source import ImageSource
from sketchclip.checkpoint import trainable_names

HEAD = [
    *("--model.adaptation", "LinearHead", "--model.layer_norm", "none"),
    *("--model.prompt_lr", "1e-3", "--data.validation", "none", "--trainer.max_epochs", "3"),
]
PAIRS = ["--data.batch_size", "6", "--data.classes_per_batch", "2"]


@pytest.fixture
def reads(monkeypatch):
    """Paths of the images that training and evaluation read, in order."""
    found: list[Path] = []
    real = ImageSource.read

    def read(self, path, skipped):
        found.append(path)
        return real(self, path, skipped)

    monkeypatch.setattr(ImageSource, "read", read)
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is kept of another test."""
    monkeypatch.setenv("SKETCHCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def losses(cli) -> list[float]:
    with (Path(cli.trainer.log_dir) / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


def images_of(data) -> list[Path]:
    return sorted(
        path
        for side in (data.catalogue.training[0], data.catalogue.training[1])
        for paths in side.values()
        for path in paths
    )


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("ZeroShotPromptLearning", []),
        ("ZeroShotPromptLearning", ["--model.negatives", "in_batch"]),
        ("ZeroShotPromptLearning", ["--model.adaptation.shared", "false"]),
        slow("FineGrainedPromptLearning", [*PAIRS, "--model.lambda_ps", "0"]),
        slow("FineGrainedPromptLearning", [*PAIRS, "--model.patches", "1"]),
    ],
    ids=["triplets", "pairs", "two heads", "no shuffling", "one patch"],
)
def test_training_is_that_on_images_and_reads_each_once(run, reads, method, flags):
    fitted = {}
    for cache in (True, False):
        reads.clear()
        cached = ["--model.adaptation.cache", str(cache).lower()]
        cli = run("fit", *HEAD, *cached, *flags, method=method)
        assert (cli.datamodule.features is not None) == cache
        everything = images_of(cli.datamodule)
        assert (sorted(reads) == everything) == cache  # in all three epochs together
        fitted[cache] = cli
    on_features, on_images = losses(fitted[True]), losses(fitted[False])
    assert len(on_features) == len(on_images) >= 6
    assert on_features == pytest.approx(on_images, rel=1e-4)
    assert on_features[0] != pytest.approx(on_features[-1], rel=1e-3)  # something was learned
    for name in trainable_names(fitted[True].model):
        ours, theirs = (fitted[c].model.get_parameter(name) for c in (True, False))
        # Adam's first steps are a learning rate each; rounding turns few of them around.
        assert (ours - theirs).abs().mean() < 1e-5, name
        assert (ours - theirs).abs().max() < 6e-3, name


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("ZeroShotPromptLearning", ["--data.augment", "photos"]),
        ("ZeroShotPromptLearning", ["--model.layer_norm", "shared"]),
        ("ZeroShotPromptLearning", ["--model.also_train", "projection"]),
        ("FineGrainedPromptLearning", PAIRS),
    ],
    ids=["augmented", "LayerNorms train", "projection trains", "patches are shuffled"],
)
def test_where_images_change_they_are_read_again(run, reads, method, flags):
    cli = run("fit", *HEAD, *flags, method=method)
    assert cli.datamodule.features is None
    assert len(reads) > 2 * len(set(reads))


def test_other_adaptations_read_images(run, reads):
    cli = run("fit", "--trainer.max_epochs", "3", "--data.validation", "none")
    assert cli.datamodule.features is None
    assert len(reads) > 2 * len(set(reads))


def test_features_are_those_of_the_frozen_tower(run):
    cli = run("fit", *HEAD)
    data, clip = cli.datamodule, cli.model.clip
    assert sorted(data.features) == images_of(data)
    for images, side in zip(data.catalogue.training, ("sketch", "photo"), strict=True):
        loader = data.training_images(images, side)
        table = loader.dataset.items
        for batch in loader:
            with torch.no_grad():
                rows = clip.encode_image(data.normalize(batch).image)
            for row, at in zip(rows, batch.index.tolist(), strict=True):
                cached = torch.from_numpy(data.features[table.path(at)])
                torch.testing.assert_close(cached, row)


def test_unreadable_files_have_no_features(run, tree, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(tree, root)
    names = run("test", "--data.root", root, "--trainer.fast_dev_run", "1").datamodule.class_names
    folders = [p for p in sorted((root / "photo").iterdir()) if p.name.replace(" ", "_") in names]
    broken = [folders[0] / "1.png", root / "sketch" / folders[1].name / "0.png"]
    for path in broken:
        path.write_bytes(b"no image")
    skip = ["--data.root", root, "--data.on_error", "skip"]
    with pytest.warns(UserWarning, match="2 files could not be read") as warned:
        cli = run("fit", *HEAD, *skip)
    told = [str(w.message) for w in warned if "could not be read" in str(w.message)]
    assert len(told) == 1
    assert all(str(path) in told[0] for path in broken)
    kept = [path for path in images_of(cli.datamodule) if path not in broken]
    assert sorted(cli.datamodule.features) == kept
    on_images = run("fit", *HEAD, *skip, "--model.adaptation.cache", "false")
    assert losses(cli) == pytest.approx(losses(on_images), rel=1e-4)


def test_an_unreadable_file_stops_the_run(run, tree, tmp_path, capsys):
    root = tmp_path / "data"
    shutil.copytree(tree, root)
    for path in root.glob("photo/*/1.png"):
        path.write_bytes(b"no image")
    with pytest.raises(SystemExit):
        run("fit", *HEAD, "--data.root", root)
    assert "Cannot read image" in capsys.readouterr().err


def test_the_next_method_on_the_same_data_gets_images(run, make_method, reads):
    """Features are of one run: prompts that were given them would never be trained."""
    cli = run("fit", *HEAD, "--trainer.max_epochs", "1")
    reads.clear()
    method = make_method(class_names=cli.datamodule.class_names, prompt_lr=1e-2)
    before = method.adaptation.photo.detach().clone()
    trainer = type(cli.trainer)(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, datamodule=cli.datamodule)
    assert reads
    assert not torch.equal(method.adaptation.photo, before)


@pytest.fixture
def encoded(monkeypatch):
    """Number of images that the frozen tower has seen for the cache."""
    counts = []
    real = SketchPhotoDataModule.cache_features

    def cache_features(self, embed):
        def counted(images, side):
            counts.append(len(images))
            return embed(images, side)

        return real(self, counted)

    monkeypatch.setattr(SketchPhotoDataModule, "cache_features", cache_features)
    return counts


def test_another_run_and_another_seed_find_them_on_disk(run, encoded, cache):
    first = run("fit", *HEAD)
    assert sum(encoded) == len(images_of(first.datamodule)) > 0
    encoded.clear()
    again, other = run("fit", *HEAD), run("fit", *HEAD, "--seed_everything", "1")
    assert not encoded
    assert losses(again) == losses(first)
    assert losses(other) != losses(first)
    (about,) = cache.glob("*.json")
    key = json.loads(about.read_text())
    assert key.keys() == {"encoder", "preprocessing", "batch_size", "listing"}
    assert first.model.identity["hash"] in key["encoder"]


@pytest.mark.slow
def test_other_encoders_preprocessings_and_files_have_their_own(
    run, encoded, cache, make_clip, tree, tmp_path
):
    run("fit", *HEAD)
    torch.save(make_clip("tiny", seed=1).state_dict(), tmp_path / "other.pt")
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    for path in copy.glob("photo/*/1.png"):
        path.unlink()
    for flags in (
        ["--model.pretrained", str(tmp_path / "other.pt")],
        ["--data.resize", "squash"],
        ["--data.normalization", "imagenet"],
        ["--data.root", str(copy)],
        ["--data.eval_batch_size", "5"],
    ):
        encoded.clear()
        run("fit", *HEAD, *flags)
        assert encoded, flags
    assert len([*cache.glob("*.npz")]) == 6


@pytest.mark.parametrize("damage", ["cut short", "one byte changed", "empty"])
def test_a_damaged_file_is_made_again(run, encoded, cache, damage):
    first = run("fit", *HEAD)
    (file,) = cache.glob("*.npz")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes({"cut short": data[:200], "one byte changed": data, "empty": b""}[damage])
    encoded.clear()
    assert losses(run("fit", *HEAD)) == losses(first)
    assert encoded


def test_unreadable_files_are_read_again_by_the_next_run(run, encoded, cache, tree, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(tree, root)
    for path in root.glob("photo/*/1.png"):
        path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match="could not be read"):
        run("fit", *HEAD, "--data.root", root, "--data.on_error", "skip")
    assert encoded
    assert not [*cache.glob("*.npz")]
    with pytest.raises(SystemExit) as stopped:
        run("fit", *HEAD, "--data.root", root)
    assert stopped.value.code == 2


def test_an_error_while_embedding_is_told_once(run, cache, monkeypatch):
    calls = []

    def fail(self, embed):
        def broken(images, side):
            calls.append(1)
            raise OSError("no device")

        return real(self, broken)

    real = SketchPhotoDataModule.cache_features
    monkeypatch.setattr(SketchPhotoDataModule, "cache_features", fail)
    with pytest.raises((OSError, SystemExit)):
        run("fit", *HEAD)
    assert len(calls) == 1


def test_a_cache_folder_that_cannot_be_written_costs_no_run(run, encoded, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    run("fit", *HEAD)
    assert encoded


def test_batches_say_that_they_hold_features(run):
    cli = run("fit", *HEAD)
    batch = next(iter(cli.datamodule.train_dataloader()))
    assert batch.features
    assert batch.sketch.shape == (8, 32)
    assert not next(
        iter(run("fit", "--trainer.fast_dev_run", "1").datamodule.train_dataloader())
    ).features


def test_loaders_without_a_data_module_train_and_test_a_head(run):
    cli = run("fit", *HEAD, "--model.adaptation.cache", "false", "--trainer.max_epochs", "1")
    data = cli.datamodule
    training, *test = (
        DataLoader([data.normalize(batch) for batch in loader], batch_size=None)
        for loader in (data.train_dataloader(), *data.test_dataloader())
    )
    last = Path(cli.trainer.log_dir) / "checkpoints" / "last.ckpt"
    method = type(cli.model).load_from_checkpoint(last, map_location="cpu")
    trainer = type(cli.trainer)(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, training)
    (found, *_) = trainer.test(method, test)
    assert 0 < found["test/mAP@all"] <= 1
