"""Models for search: the same embeddings as evaluation, from whatever a training left behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

import sketchclip
from data_modules import SketchPhotoFolder
from data_modules.images.read import read_image
from sketchclip.checkpoint import write_safetensors
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.methods import FrozenCLIP, ZeroShotPromptLearning

CUSTOM = """
from sketchclip.methods import ZeroShotPromptLearning


class Halved(ZeroShotPromptLearning):
    factor = 0.5

    def embed(self, images, side):
        return self.factor * super().embed(images, side)


class Distance(ZeroShotPromptLearning):
    def score(self, queries, gallery):
        return -(queries[:, None] - gallery).norm(dim=-1)
"""


@pytest.fixture
def fit(run):
    """A run of one epoch; returns its folder."""

    def call(*flags: str, method: str = "ZeroShotPromptLearning") -> Path:
        rates = ("--model.prompt_lr", "1e-1", "--model.ln_lr", "1e-1", "--grids.queries", "0")
        cli = run("fit", "--trainer.max_epochs", "1", *rates, *flags, method=method)
        return Path(cli.trainer.log_dir)

    return call


def predicted(folder: Path) -> dict[str, tuple[list[Path], np.ndarray]]:
    """Files and unit embeddings of 'sketchclip predict'."""
    main(["predict", "--ckpt_path", str(folder), "--data.num_workers", "0"])
    found = {}
    for side in ("sketch", "photo"):
        bank = np.load(next(folder.parent.rglob(f"predict/embeddings/{side}.npz")))
        state = bank["state"] / np.linalg.norm(bank["state"], axis=1, keepdims=True)
        found[side] = ([Path(path) for path in bank["path"]], state)
    return found


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--data.resize", "squash", "--data.normalization", "imagenet"],
        ["--model.adaptation", "LinearHead"],
    ],
    ids=["as it is", "another preprocessing", "linear head"],
)
def test_embeddings_are_those_of_evaluation(fit, flags):
    folder = fit(*flags)
    expected = predicted(folder)
    model = sketchclip.from_pretrained(str(folder))
    frozen = sketchclip.from_pretrained("frozen", "tiny", model.module.hparams["pretrained"])
    for side in ("sketch", "photo"):
        paths, states = expected[side]
        embed = model.sketches if side == "sketch" else model.photos
        np.testing.assert_allclose(embed(paths), states, atol=1e-6)
        arrays = [read_image(path) for path in paths]
        np.testing.assert_allclose(embed(arrays), states, atol=1e-6)
        assert np.abs(frozen.photos(paths) - states).max() > 1e-2  # training has changed them
    assert embed(paths).dtype == np.float32
    assert model.dim == states.shape[1] == 32


@pytest.mark.slow
def test_every_name_of_a_model_gives_the_same_one(fit, tmp_path, monkeypatch):
    folder = fit()
    checkpoint = folder / "checkpoints" / "last.ckpt"
    exported = tmp_path / "exported"
    content = torch.load(checkpoint, weights_only=True)
    write_safetensors(content, exported / "model.safetensors")
    shutil.copy(folder / "config.yaml", exported)
    cell = tmp_path / "cell" / "seed_0"  # of 'sketchclip ablate'
    shutil.copytree(folder, cell / "fit")
    names = [
        folder,
        checkpoint,
        cell,
        exported,
        exported / "model.safetensors",
        folder.parent / "last",
    ]
    models = [sketchclip.from_pretrained(name) for name in names]
    monkeypatch.chdir(tmp_path)
    models += [sketchclip.from_pretrained("last"), sketchclip.from_pretrained("best")]
    monkeypatch.setattr("sketchclip.pretrained.hub.answers", lambda: True)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repository, name, **_: str(exported / name)
    )
    (exported / "config.json").write_text('{"results": []}')
    models.append(sketchclip.from_pretrained("hf://owner/model"))
    assert len({model.model_hash for model in models}) == 1
    assert models[0].name == f"ZeroShotPromptLearning, {folder}"
    assert models[-1].name == "ZeroShotPromptLearning, owner/model"
    assert models[-1].source["model"] == "hf://owner/model"
    for model in models:
        again = sketchclip.from_pretrained(**model.source)
        assert again.model_hash == model.model_hash


def test_hashes_tell_models_apart(fit, tiny_weights, make_clip, tmp_path):
    first, second = fit(), fit("--seed_everything", "1")
    squashed = tmp_path / "squashed"
    shutil.copytree(first, squashed)
    path = squashed / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["preprocessing"]["resize"] = "squash"
    torch.save(checkpoint, path)
    torch.save(make_clip("tiny", seed=1).state_dict(), tmp_path / "other.pt")
    models = [sketchclip.from_pretrained(str(folder)) for folder in (first, second, squashed)]
    files = (str(tiny_weights), str(tmp_path / "other.pt"))
    models += [sketchclip.from_pretrained("frozen", "tiny", file) for file in files]
    hashes = [model.model_hash for model in models]
    assert len({*hashes}) == len(hashes)
    assert all(len(digits) == 16 and int(digits, 16) for digits in hashes)


def test_neither_the_data_nor_word_vectors_are_needed(make_tree, options, tmp_path):
    root = make_tree(tmp_path / "data", classes=4, sketches=1, photos=1)
    words = tmp_path / "words.txt"
    names = {word for path in root.glob("photo/*") for word in path.name.split()}
    words.write_text("".join(f"{word} {len(word)} 1 0\n" for word in names))
    head = ["--model.text_head", "WordVectors", "--model.text_head.path", str(words)]
    data = ["--data", "SketchPhotoFolder", "--data.root", str(root), "--data.split", "random:2:0"]
    short = ["--trainer.max_epochs", "1", "--data.validation", "none"]
    fitted = main(["fit", "--model", "ZeroShotPromptLearning", *data, *options, *head, *short])
    assert "text_head.projection.weight" in dict(fitted.model.named_parameters())
    photo = read_image(next(root.rglob("photo/*/*.png")))
    shutil.rmtree(root)
    words.unlink()
    embedded = sketchclip.from_pretrained(fitted.trainer.log_dir).photos([photo])
    assert embedded.shape == (1, 32)
    np.testing.assert_allclose(np.linalg.norm(embedded), 1, atol=1e-6)


def test_a_model_of_a_programs_own_trainer(make_method, tree, tmp_path):
    data = SketchPhotoFolder(str(tree), split="random:2:0", num_workers=0, batch_size=8)
    method = make_method(class_names=data.class_names, lambda_cls=0.0)
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(method, datamodule=data)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    model = sketchclip.from_pretrained(str(tmp_path / "mine.ckpt"))
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(model.module.get_parameter(name), parameter), name


def test_a_class_outside_the_package(fit, tmp_path, monkeypatch):
    (tmp_path / "my_methods.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = fit(method="my_methods.Halved")
    model = sketchclip.from_pretrained(str(folder))
    assert type(model.module).__name__ == "Halved"
    with pytest.raises(SketchClipError, match="Distance ranks by a score of its own"):
        sketchclip.from_pretrained(str(fit(method="my_methods.Distance")))
    monkeypatch.undo()
    del sys.modules["my_methods"]
    with pytest.raises(SketchClipError, match=r"my_methods\.Halved, which cannot be imported"):
        sketchclip.from_pretrained(str(folder))


def test_another_backbone_is_refused(fit, make_clip, tmp_path):
    folder = str(fit())
    torch.save(make_clip("tiny", seed=1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(SketchClipError, match="another backbone"):
        sketchclip.from_pretrained(folder, pretrained=str(tmp_path / "other.pt"))
    with pytest.raises(SketchClipError, match="was trained on tiny"):
        sketchclip.from_pretrained(folder, backbone="ViT-B-32-quickgelu")


def test_tests_of_the_checkpoint_come_with_it(fit, run):
    folder = fit()
    assert sketchclip.from_pretrained(str(folder)).about["results"] == []
    main(["test", "--ckpt_path", str(folder)])
    (result,) = sketchclip.from_pretrained(str(folder)).about["results"]
    assert result["dataset"] == "SketchPhotoFolder"
    assert 0 < result["metrics"]["mAP@all"] <= 1
    assert "checkpoint" not in result  # a path of this machine


def test_a_frozen_model_embeds_images_and_texts(tree, tiny_weights):
    model = sketchclip.from_pretrained("frozen", "tiny", str(tiny_weights))
    paths = sorted(tree.rglob("photo/*/0.png"))
    np.testing.assert_array_equal(model.sketches(paths), model.photos(paths))
    texts = model.texts(["a photo of a cat", "a photo of a dog"])
    assert texts.shape == (2, model.dim)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    assert model.photos([]).shape == model.texts([]).shape == (0, model.dim)
    assert model.name == "frozen tiny"
    assert not model.fine_grained
    fitted = model.read(paths[0])
    np.testing.assert_array_equal(model.photos([fitted]), model.photos(paths[:1]))
    many = model.photos(paths * 20)  # more than a batch
    np.testing.assert_allclose(many[-len(paths) :], model.photos(paths), atol=1e-6)
    method = FrozenCLIP("tiny", str(tiny_weights))
    assert type(model.module) is type(method)


def test_bad_input_is_named(tiny_weights, tmp_path):
    model = sketchclip.from_pretrained("frozen", "tiny", str(tiny_weights))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(SketchClipError, match=r"broken\.png"):
        model.sketches([tmp_path / "broken.png"])
    with pytest.raises(SketchClipError, match=r"uint8 RGB of shape.*float64 \(4, 4, 3\)"):
        model.photos([np.zeros((4, 4, 3))])
    with pytest.raises(SketchClipError, match="model=nowhere does not exist"):
        sketchclip.from_pretrained("nowhere")
    with pytest.raises(SketchClipError, match="device=tpu9"):
        sketchclip.from_pretrained("frozen", "tiny", str(tiny_weights), device="tpu9")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(SketchClipError, match="is no checkpoint of sketchclip"):
        sketchclip.from_pretrained(str(tmp_path / "foreign.ckpt"))


def test_the_package_loads_without_pytorch():
    code = "import sys, sketchclip; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="nothing_such"):
        sketchclip.nothing_such  # noqa: B018


ENTRIES = {
    "no mean": (("preprocessing", "mean"), None, "entry preprocessing cannot be used"),
    "std of texts": (
        ("preprocessing", "std"),
        ["a", "b", "c"],
        "std .above 0. of one or three channels",
    ),
    "std in lists": (("preprocessing", "std"), [[1.0], [1.0], [1.0]], "of one or three channels"),
    "std 0": (("preprocessing", "std"), [0.0, 1.0, 1.0], "std .above 0. of one or three channels"),
    "two channels": (("preprocessing", "mean"), [0.5, 0.5], "of one or three channels"),
    "size true": (("preprocessing", "size"), True, "expected a size of at least 1"),
    "size -1": (("preprocessing", "size"), -1, "expected a size of at least 1"),
    "another size": (("preprocessing", "size"), 99, "prepares images of 99 pixels"),
    "no resize": (("preprocessing", "resize"), "cut", "resize .letterbox"),
    "training data": (("training_data",), [{"dataset": "x"}], "entry training_data holds"),
    "training data None": (("training_data",), [None], "entry training_data holds"),
    "infinite": (("state_dict", "*"), torch.inf, "tensors hold NaN or infinity"),
}


@pytest.fixture(scope="module")
def trained(tree, tiny_weights, tmp_path_factory):
    """Checkpoint of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    data = SketchPhotoFolder(root=str(tree), split="random:3:0", num_workers=0, batch_size=4)
    module = ZeroShotPromptLearning(data.class_names, "tiny", pretrained=str(tiny_weights))
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, default_root_dir=folder, limit_val_batches=0
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(folder / "a.ckpt")
    return folder / "a.ckpt"


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_that_cannot_be_are_refused_with_the_file(name, trained, tmp_path):
    (entry, *inside), value, message = ENTRIES[name]
    content = torch.load(trained, weights_only=True)
    if not inside:
        content[entry] = value
    elif inside == ["*"]:
        next(iter(content[entry].values())).view(-1)[0] = value
    else:
        content[entry][inside[0]] = value
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(SketchClipError, match=rf"a\.ckpt.*{message}"):
        sketchclip.from_pretrained(tmp_path / "a.ckpt")
