"""Backbones from files and tags: OpenAI's format, QuickGELU, and no network."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sketchclip.checkpoint import read_state_dict
from sketchclip.cli import main
from sketchclip.clip.backbone import backbone_hash, load_backbone
from sketchclip.errors import SketchClipError


@pytest.mark.slow  # the kinds of files are tested with a tiny tower below
def test_vit_b32_from_openais_file_fits_and_tests(vit_fit):
    """The whole command line on the paper's backbone; the weights are random."""
    cli = main(["test", *vit_fit])
    result = json.loads((Path(cli.trainer.log_dir) / "metrics.json").read_text())
    assert result["backbone"]["name"] == "ViT-B-32-quickgelu"
    assert (result["queries"], result["gallery"]) == (4, 4)
    assert 0 < result["metrics"]["mAP@all"] <= 1
    assert cli.model.image_size == 224


def script(state: dict[str, torch.Tensor]) -> torch.jit.ScriptModule:
    """A TorchScript archive with these names, as OpenAI's own file is one."""
    root = nn.Module()
    for name, value in state.items():
        *parents, leaf = name.split(".")
        owner = root
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner.get_submodule(parent)
        owner.register_buffer(leaf, value)
    return torch.jit.script(root)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["openai", "torchscript", "plain", "safetensors", "training"])
def test_every_kind_of_file_gives_the_same_model(make_clip, openai_file, tmp_path, kind):
    clip = make_clip("tiny-quickgelu").half().float()  # OpenAI's files are in half precision
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = clip.state_dict()
    if kind == "openai":
        torch.save(openai_file(clip), path)
    elif kind == "torchscript":
        script(openai_file(clip)).save(str(path))
    elif kind == "plain":
        torch.save(state, path)
    elif kind == "training":  # open_clip's own training checkpoints, from several GPUs
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    loaded = load_backbone("tiny-quickgelu", str(path))
    assert backbone_hash(loaded.visual) == backbone_hash(clip.visual)
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32, name
        assert torch.equal(value, state[name]), name
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():  # the same activation function, too
        assert torch.equal(loaded.encode_image(images), clip.encode_image(images))


def test_openais_file_in_a_gelu_model_is_an_error(make_clip, openai_file, tmp_path, run, capsys):
    torch.save(openai_file(make_clip("tiny-quickgelu")), tmp_path / "openai.pt")
    with pytest.raises(SystemExit) as stopped:
        run("fit", "--model.pretrained", str(tmp_path / "openai.pt"))
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "QuickGELU mismatch" in message
    assert "--model.backbone=tiny-quickgelu" in message


def test_openais_tag_in_a_gelu_model_is_an_error(monkeypatch, tmp_path):
    # The download succeeds: what is wrong is the combination.
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path))
    with pytest.raises(SketchClipError, match=r"QuickGELU mismatch.*'ViT-B-32-quickgelu'"):
        load_backbone("ViT-B-32", "openai")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("[Errno 101] Network is unreachable")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", refuse)


@pytest.mark.usefixtures("no_network")
def test_without_weights_and_network_one_screen_says_what_is_needed(tree, capfd, caplog):
    data = ["--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split", "random:2:0"]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--model", "ZeroShotPromptLearning", *data, "--trainer.accelerator", "cpu"])
    assert stopped.value.code == 2
    message = capfd.readouterr().err
    assert len((message + caplog.text).splitlines()) <= 15
    assert "Traceback" not in message
    for needed in (
        "'ViT-B-32-quickgelu', pretrained 'openai'",
        "huggingface.co cannot be reached",
        "--model.pretrained=FILE",
        "--model.backbone=sketchclip-mini",
    ):
        assert needed in message


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("ViT-Q-99", None, "Unknown backbone 'ViT-Q-99'.*ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", "/no/such.pt", "neither a file nor one of its tags.*openai"),
        ("sketchclip-mini", "openai", "no file"),
    ],
)
def test_unknown_names_and_tags(name, pretrained, message):
    with pytest.raises(SketchClipError, match=f"(?s){message}"):
        load_backbone(name, pretrained)


def test_file_of_another_architecture_names_what_differs(make_clip, tmp_path):
    torch.save(make_clip("tiny-deep").state_dict(), tmp_path / "w.pt")
    with pytest.raises(SketchClipError, match=r"(?s)does not fit backbone 'tiny'.*resblocks\.2"):
        load_backbone("tiny", str(tmp_path / "w.pt"))


def test_file_that_holds_no_weights(tmp_path):
    for content in (b"", b"not weights at all"):
        (tmp_path / "w.pt").write_bytes(content)
        with pytest.raises(SketchClipError, match="Cannot read weights from"):
            read_state_dict(tmp_path / "w.pt")


class Unpickled:
    def __reduce__(self):
        return (pytest.fail, ("code of a checkpoint was executed",))


def test_nothing_in_a_file_is_executed(tmp_path):
    torch.save({"state_dict": Unpickled()}, tmp_path / "w.pt")
    with pytest.raises(SketchClipError, match="Cannot read weights"):
        read_state_dict(tmp_path / "w.pt")


def test_preprocessing_is_the_models_own(make_method):
    method = make_method()
    assert method.image_size == 32
    assert method.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert method.std == pytest.approx((0.26862954, 0.26130258, 0.27577711))


def test_a_file_that_holds_no_mini_is_one_message(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(SketchClipError, match=r"no weights of.*pretrained=null"):
        load_backbone("sketchclip-mini", str(path))
