"""What the base class promises to methods that are not like those of the paper."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sketchclip
from sketchclip.checkpoint import mark_pretrained, own_names
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from tests.helpers.toys import BatchNormMethod, DistilledMethod, statistics
from tests.sketchclip.methods.test_ddp import command

TOYS = {toy.__name__: toy for toy in (BatchNormMethod, DistilledMethod)}


@pytest.fixture
def arguments(tree, tmp_path):
    """Options of a toy's run on generated data."""

    def make(toy: str, devices: int = 1) -> list[str]:
        return [
            *("--model", f"tests.helpers.toys.{toy}"),
            *("--data", "SketchPhotoFolder", "--data.root", str(tree)),
            *("--data.split", "random:2:0", "--data.num_workers", "0", "--data.batch_size", "6"),
            *("--trainer.accelerator", "cpu", "--trainer.devices", str(devices)),
            *("--trainer.strategy", "ddp" if devices > 1 else "auto"),
            *("--trainer.enable_progress_bar", "false", "--grids.queries", "0"),
            *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path / "runs")),
        ]

    return make


@pytest.fixture
def fit(arguments):
    def call(toy: str, *flags: str):
        return main(["fit", *arguments(toy), "--trainer.max_epochs", "1", *flags])

    return call


def photos(tree: Path) -> list[Path]:
    return sorted(tree.glob("photo/*/*.png"))


@pytest.mark.parametrize("toy", TOYS)
def test_a_checkpoint_gives_equal_embeddings(toy, fit, tree):
    fitted = fit(toy)
    trained = fitted.model.eval()
    assert any(b.any() for n, b in trained.named_buffers() if "num_batches" not in n)
    folder = fitted.trainer.log_dir
    loaded = sketchclip.from_pretrained(folder)
    images = torch.from_numpy(np.stack([loaded.read(path) for path in photos(tree)]))
    pixels = (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        expected = trained.embed(pixels, "photo")
        again = loaded.module.embed(pixels, "photo")
    torch.testing.assert_close(again, expected, rtol=0, atol=0)
    fresh = TOYS[toy]().eval()
    with torch.no_grad():
        assert (fresh.embed(pixels, "photo") - expected).abs().max() > 1e-2


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("toy", ["BatchNormMethod", "DistilledMethod"])
def test_two_processes_measure_what_their_checkpoint_gives(toy, arguments, tmp_path):
    shared = arguments(toy, devices=2)
    command("fit", *shared, "--trainer.max_epochs", "2", "--data.validation", "test_classes")
    (run,) = (tmp_path / "runs").glob("*/version_0")
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    in_training = {
        name: [float(row[column]) for row in rows[1:] if row[column]][-1]
        for column, name in enumerate(rows[0])
        if name.startswith("val/")
    }
    held = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert float(statistics(held)) == pytest.approx(in_training["val/statistics"], abs=1e-6)
    alone = main(["test", "--ckpt_path", str(run), "--trainer.devices", "1",
                  "--trainer.strategy", "auto", "--data.num_workers", "0"])  # fmt: skip
    measured = float(alone.trainer.callback_metrics["test/mAP@all"])
    assert measured == pytest.approx(in_training["val/mAP@all"], abs=1e-6)


@pytest.mark.parametrize("toy", TOYS)
def test_a_resumed_run_is_the_uninterrupted_one(toy, fit, arguments):
    whole = fit(toy, "--trainer.max_epochs", "2")
    half = fit(toy)
    again = main(["fit", *arguments(toy), "--trainer.max_epochs", "2",
                  "--ckpt_path", f"{half.trainer.log_dir}/checkpoints/last.ckpt"])  # fmt: skip
    names = own_names(whole.model)
    assert names == own_names(again.model)
    for name in names:
        assert torch.equal(whole.model.state_dict()[name], again.model.state_dict()[name]), name


def test_a_checkpoint_holds_all_but_the_teacher(fit):
    fitted = fit("DistilledMethod")
    path = Path(fitted.trainer.log_dir) / "checkpoints" / "last.ckpt"
    held = {name.partition(".")[0] for name in torch.load(path, weights_only=True)["state_dict"]}
    assert held == {"net", "projection", "centre", "discriminator"}
    assert not fitted.model.train().teacher.training


def test_it_is_exported_and_searched_without_what_only_training_needs(
    fit, tree, tmp_path, monkeypatch, capsys
):
    folder = fit("DistilledMethod").trainer.log_dir

    def refuse(_: object) -> None:
        raise AssertionError("retrieval built what only training needs")

    monkeypatch.setattr(DistilledMethod, "build_training_parts", refuse)
    exported = tmp_path / "exported"
    main(["export", str(folder), "--to", str(exported)])
    loaded = sketchclip.from_pretrained(str(exported))
    assert loaded.model_hash == sketchclip.from_pretrained(str(folder)).model_hash
    held = {name.partition(".")[0] for name in loaded.module.state_dict()}
    assert held == {"net", "projection", "centre"}
    index = str(tmp_path / "index")
    main(["index", str(tree / "photo"), "-o", index, "--model", str(exported)])
    sketch = next(iter(sorted(tree.glob("sketch/*/*.png"))))
    found = main(["search", str(sketch), "--index", index, "-k", "3"])
    assert found
    main(["test", "--ckpt_path", str(folder), "--data.num_workers", "0"])


def test_the_hash_sees_statistics_and_nothing_that_only_training_needs(fit):
    def model_hash(change=None) -> str:
        model = sketchclip.from_pretrained(folder)
        if change is not None:
            change(model.module)
        return model.model_hash

    folder = fit("DistilledMethod").trainer.log_dir
    with_parts = model_hash(lambda module: DistilledMethod.build_training_parts(module))
    assert with_parts == model_hash()
    assert model_hash(lambda module: module.centre.add_(1)) != with_parts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("net.1.running_mean"), "1 missing: net.1.running_mean"),
        (lambda state: state.update(typo=torch.zeros(1)), "1 unexpected: typo"),
        (lambda state: state.update({"net.1.running_var": torch.ones(3)}), "of another shape"),
    ],
    ids=["missing statistics", "unexpected", "shape"],
)
def test_statistics_are_compared_like_parameters(change, message, fit):
    folder = Path(fit("BatchNormMethod").trainer.log_dir)
    path = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint["state_dict"])
    torch.save(checkpoint, path)
    with pytest.raises(SketchClipError, match=message):
        sketchclip.from_pretrained(folder)


def test_own_names_of_a_marked_network():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    module = torch.nn.ModuleDict({"pretrained": network, "head": torch.nn.Linear(2, 1)})
    everything = own_names(module)
    mark_pretrained(network, ["1.weight"])
    assert own_names(module) == ["pretrained.1.weight", "head.weight", "head.bias"]
    assert {*everything} - {*own_names(module)} == {
        *("pretrained.0.weight", "pretrained.0.bias", "pretrained.1.bias"),
        *("pretrained.1.running_mean", "pretrained.1.running_var"),
        "pretrained.1.num_batches_tracked",
    }
    module.requires_grad_(False)  # as a model that only embeds
    assert own_names(module) == ["pretrained.1.weight", "head.weight", "head.bias"]


def test_the_preprocessing_of_training_is_kept(fit):
    folder = Path(
        fit("BatchNormMethod", "--data.resize", "squash", "--data.normalization", "imagenet")
        .trainer.log_dir
    )  # fmt: skip
    steps = sketchclip.from_pretrained(folder).preprocessing
    assert (steps.size, steps.resize, steps.mean[0]) == (32, "squash", 0.485)
    held = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["preprocessing"]
    assert json.loads(json.dumps(held)) == {
        **{"size": 32, "resize": "squash", "interpolation": "bicubic"},
        **{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }
