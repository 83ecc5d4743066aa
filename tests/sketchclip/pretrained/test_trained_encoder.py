"""A run of the classifier of the seen classes as the encoder of the next method."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import sketchclip
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.methods import IIAE
from sketchclip.pretrained.trained_encoder import TrainedEncoder


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory, make_tree: Any) -> list[str]:
    folder = tmp_path_factory.mktemp("stages")
    tree = make_tree(folder / "tree", classes=6)
    return [
        *("--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split", "random:2:0"),
        *("--data.num_workers", "0", "--data.batch_size", "6", "--trainer.max_epochs", "1"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(folder / "runs")),
    ]


@pytest.fixture(scope="module")
def first(common: list[str]) -> Path:
    """Run of a classifier on a tiny network."""
    tiny = ("--model.encoder", "TimmEncoder", "--model.encoder.name", "test_resnet")
    tiny += ("--model.encoder.pretrained", "random", "--model.encoder.size", "64")
    options = ("--model", "SeenClassClassifier", *tiny, "--model.dim", "12")
    return Path(main(["fit", *options, *common]).trainer.log_dir)


def test_it_embeds_as_the_run_does(first: Path) -> None:
    encoder, module = TrainedEncoder(str(first)), sketchclip.from_pretrained(str(first)).module
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sides = [module.embed(images, side) for side in ("sketch", "photo")]
        assert not torch.equal(*sides)
        torch.testing.assert_close(encoder(images, "sketch"), sides[0])
        mixed = encoder(images, torch.tensor([1, 0, 0, 1]))
    expected = torch.stack([sides[1][0], sides[0][1], sides[0][2], sides[1][3]])
    torch.testing.assert_close(mixed, expected)
    assert (encoder.dim, encoder.image_size) == (12, 64)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_the_next_method_stands_on_it(first: Path, common: list[str], tmp_path: Path) -> None:
    encoder = ("--model.encoder", "TrainedEncoder", "--model.encoder.pretrained", str(first))
    small = ("--model.dim", "8", "--model.hidden", "16", "--data.classes_per_batch", "2")
    fitted = main(["fit", "--model", "IIAE", *encoder, *small, *common])
    saved = torch.load(f"{fitted.trainer.log_dir}/checkpoints/last.ckpt", weights_only=True)
    assert not [name for name in saved["state_dict"] if name.startswith("encoder.")]
    assert saved["backbone"]["name"] == "SeenClassClassifier"
    assert main(["test", "--ckpt_path", fitted.trainer.log_dir]).model.results is not None
    # Elsewhere, the first run is named anew; another one is refused.
    model = sketchclip.from_pretrained(fitted.trainer.log_dir, pretrained=first)
    assert model.dim == 8
    state = torch.load(first / "checkpoints" / "last.ckpt", weights_only=True)
    state["state_dict"]["layers.sketch.bias"] += 1
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(SketchClipError, match="another encoder"):
        sketchclip.from_pretrained(fitted.trainer.log_dir, pretrained=tmp_path / "other.ckpt")


def test_its_classes_count_as_trained_on(
    first: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = TrainedEncoder(str(first))
    seen = IIAE(encoder).training_classes
    assert len(seen) == 2  # 6, less 2 unseen ones and 2 for validation
    options = ["--model", "IIAE", "--model.encoder", "TrainedEncoder"]
    options += ["--model.encoder.pretrained", str(first)]
    other = [part if part != "random:2:0" else "random:2:3" for part in common]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["test", *options, *other])
    assert "trained on" in capsys.readouterr().err


def test_an_export_asks_for_the_first_run(first: Path, common: list[str], tmp_path: Path) -> None:
    encoder = ("--model.encoder", "TrainedEncoder", "--model.encoder.pretrained", str(first))
    small = ("--model.dim", "8", "--model.hidden", "16", "--data.classes_per_batch", "2")
    run = main(["fit", "--model", "IIAE", *encoder, *small, *common]).trainer.log_dir
    main(["export", run, "--to", str(tmp_path / "exported"), "--pretrained", str(first)])
    with pytest.raises(SketchClipError, match=r"stands on another trained run.*--pretrained RUN"):
        sketchclip.from_pretrained(str(tmp_path / "exported"))
    exported = sketchclip.from_pretrained(str(tmp_path / "exported"), pretrained=first)
    assert exported.model_hash == sketchclip.from_pretrained(run).model_hash


def test_the_last_run_is_the_one_of_then(
    first: Path, common: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(first, tmp_path / "runs" / "first" / "version_0")
    (tmp_path / "runs" / "last").symlink_to(tmp_path / "runs" / "first" / "version_0")
    monkeypatch.chdir(tmp_path)
    encoder = TrainedEncoder("last")
    shutil.rmtree(tmp_path / "runs" / "first")
    assert encoder.pretrained != "last"
    assert Path(encoder.pretrained).is_relative_to(tmp_path.resolve())


def test_images_are_prepared_as_in_the_first_run(
    first: Path, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = ("--model.encoder", "TrainedEncoder", "--model.encoder.pretrained", str(first))
    with pytest.raises(SystemExit):
        main(["test", "--model", "IIAE", *encoder, *common, "--data.resize", "squash"])
    assert "--data.resize letterbox" in capsys.readouterr().err


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(SketchClipError, match="no checkpoint of sketchclip"):
        TrainedEncoder(str(tmp_path / "weights.safetensors"))
    with pytest.raises(SketchClipError, match=r"--model\.encoder"):
        TrainedEncoder(str(tmp_path / "missing"))
