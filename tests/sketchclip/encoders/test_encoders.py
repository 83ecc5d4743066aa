"""Image encoders: weights, preprocessing, sides, and what a checkpoint holds of them."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import nn

from sketchclip.checkpoint import own_names
from sketchclip.clip import CLIPImageEncoder
from sketchclip.clip.backbone import load_backbone
from sketchclip.clip.mini import create_mini
from sketchclip.clip.text import encode_classes
from sketchclip.encoders import ConditionalGate, CSEResNet, Teacher, TimmEncoder, TwinEncoder
from sketchclip.errors import SketchClipError
from sketchclip.nn import describe
from tests.helpers.parity import close, draws, tensor


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model("test_resnet").eval()


@pytest.fixture(params=["pt", "safetensors"])
def weights(request: pytest.FixtureRequest, network: nn.Module, tmp_path: Path) -> Path:
    file = tmp_path / f"weights.{request.param}"
    write = torch.save if request.param == "pt" else save_file
    write(network.state_dict(), str(file))
    return file


def images(size: int = 64) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_a_local_file_gives_the_networks_features(weights: Path, network: Any) -> None:
    encoder = TimmEncoder("test_resnet", str(weights), frozen=True)
    expected = network.forward_head(network.forward_features(images()), pre_logits=True)
    torch.testing.assert_close(encoder(images(), "photo"), expected)
    assert encoder.dim == expected.shape[1]
    config = timm.data.resolve_data_config({}, model=network)
    assert encoder.image_size == config["input_size"][-1]
    assert (encoder.mean, encoder.std) == (config["mean"], config["std"])
    assert encoder.interpolation == config["interpolation"]


def test_a_frozen_encoder_stays_as_it_was(weights: Path) -> None:
    method = nn.Module()
    method.encoder = TimmEncoder("test_resnet", str(weights), frozen=True)
    method.head = nn.Linear(2, 2)
    method.train()
    assert not method.encoder.net.training
    assert not any(p.requires_grad for p in method.encoder.parameters())
    assert own_names(method) == ["head.weight", "head.bias"]
    trained = TimmEncoder("test_resnet", str(weights)).train()
    assert trained.net.training
    assert trained.identity is None
    assert all(p.requires_grad for p in trained.parameters())


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (TimmEncoder, {"name": "test_resnet", "pretrained": "random"}),
        (CSEResNet, {"name": "legacy_seresnet18", "pretrained": "random"}),
        (CLIPImageEncoder, {"backbone": "sketchclip-mini"}),
    ],
)
def test_settings_stay_as_they_were_given(kind: Any, given: dict[str, Any]) -> None:
    """A test compares them with those of the checkpoint, the ones left out included."""
    defaults = {n: p.default for n, p in inspect.signature(kind).parameters.items()}
    assert describe(kind(**given))["init_args"] == defaults | given


def test_attention_cannot_be_frozen() -> None:
    with pytest.raises(SketchClipError, match="attention=false"):
        TimmEncoder("test_resnet", "random", frozen=True, attention=True)


def test_attention_is_asked(weights: Path) -> None:
    plain = TimmEncoder("test_resnet", str(weights), size=96).eval()
    attentive = TimmEncoder("test_resnet", str(weights), size=96, attention=True).eval()
    changed = (attentive(images(96), "photo") - plain(images(96), "photo")).abs().max()
    assert changed > 1e-3


def test_other_weights_are_another_identity(
    weights: Path, network: nn.Module, tmp_path: Path
) -> None:
    first = TimmEncoder("test_resnet", str(weights), frozen=True)
    other = tmp_path / "other.pt"
    torch.save({n: x + 1 for n, x in network.state_dict().items()}, other)
    second = TimmEncoder("test_resnet", str(other), frozen=True)
    assert first.identity is not None
    assert second.identity is not None
    assert first.identity["hash"] != second.identity["hash"]


def test_equal_weights_of_another_architecture_are_another_identity(weights: Path) -> None:
    first = TimmEncoder("test_resnet", str(weights), frozen=True)
    second = TimmEncoder("test_resnet", str(weights), frozen=True)
    assert first._identify() == second.identity
    second.name = "test_resnet_with_another_activation"
    assert first._identify()["hash"] != second._identify()["hash"]


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("resnet51", None, "Unknown network 'resnet51'.*such as"),
        ("test_resnet", "missing.pt", r"missing.pt is no file. Name a local file"),
        ("test_vit", "weights", r"does not fit \(.*Name a local file.*pretrained=FILE"),
        ("test_resnet", "text", "Cannot read weights"),
    ],
)
def test_weights_that_cannot_be_had(
    name: str, file: str | None, message: str, network: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no weights")
    torch.save(network.state_dict(), tmp_path / "weights")
    with pytest.raises(SketchClipError, match=f"(?s){message}"):
        TimmEncoder(name, None if file is None else str(tmp_path / file))


def test_twins_start_equal_and_part() -> None:
    twins = TwinEncoder(TimmEncoder("test_resnet", "random", size=64)).eval()
    assert torch.equal(twins(images(), "sketch"), twins(images(), "photo"))
    with torch.no_grad():
        for parameter in twins.photo_encoder.parameters():
            parameter.mul_(1.1)
    sketch, photo = twins(images(), "sketch"), twins(images(), "photo")
    assert not torch.allclose(sketch, photo)
    mixed = twins(images(), torch.tensor([0, 1, 0]))
    torch.testing.assert_close(mixed, torch.stack([sketch[0], photo[1], sketch[2]]))


@draws("sake_cse_gate")
def test_conditional_gate(numbers: dict[str, Any]) -> None:
    x, wide = tensor(numbers["x"]), tensor(numbers["fc2_weight"])
    plain = nn.Module()
    plain.fc1 = nn.Conv2d(x.shape[1], wide.shape[1] - 1, 1)
    plain.fc2 = nn.Conv2d(wide.shape[1] - 1, x.shape[1], 1)
    gate = ConditionalGate(plain).double()
    state = {name: numbers[name.replace(".", "_")] for name in gate.state_dict()}
    gate.load_state_dict({n: tensor(v).view_as(gate.state_dict()[n]) for n, v in state.items()})
    gate.side = tensor(numbers["bit"])
    close(gate(x), numbers["output"])


def test_gates_know_the_side_once_they_have_learnt() -> None:
    encoder = CSEResNet("legacy_seresnet18", "random", size=64).eval()
    assert torch.equal(encoder(images(), "sketch"), encoder(images(), "photo"))
    with torch.no_grad():
        for gate in encoder.gates:
            gate.fc2.weight[:, -1] = 1.0
    sketch, photo = encoder(images(), "sketch"), encoder(images(), "photo")
    assert not torch.allclose(sketch, photo)
    mixed = encoder(images(), torch.tensor([0, 1, 0]))
    torch.testing.assert_close(mixed, torch.stack([sketch[0], photo[1], sketch[2]]))


@pytest.mark.parametrize("frozen", [True, False])
def test_clips_tower_is_an_encoder(frozen: bool) -> None:
    encoder = CLIPImageEncoder("sketchclip-mini", frozen=frozen).eval()
    size = encoder.image_size
    expected = create_mini().encode_image(images(size))
    torch.testing.assert_close(encoder(images(size), "sketch"), expected)
    assert encoder.dim == expected.shape[1]
    assert (encoder.identity is None) is not frozen
    assert {p.requires_grad for p in encoder.parameters()} == {not frozen}


def test_the_classifier_is_the_one_that_came_with_the_weights(weights: Path, network: Any) -> None:
    encoder = TimmEncoder("test_resnet", str(weights)).eval()
    logits = nn.functional.linear(encoder(images(), "photo"), *encoder.classifier())
    torch.testing.assert_close(logits, network(images()))
    torch.testing.assert_close(TwinEncoder(encoder).classifier(), encoder.classifier())


def test_clip_classifies_by_the_names_of_imagenets_classes() -> None:
    encoder = CLIPImageEncoder("sketchclip-mini", frozen=True)
    weight, bias = encoder.classifier()
    assert weight.shape == (1000, encoder.dim)
    assert not bias.any()
    torch.testing.assert_close(weight.mean(0), torch.zeros(encoder.dim), atol=1e-5, rtol=0)
    clip = load_backbone("sketchclip-mini", None)
    names = [name.partition(",")[0] for name in ImageNetInfo().label_descriptions()]
    texts = encode_classes(clip, "sketchclip-mini", names)
    # The same classes, but for a temperature of each image: its embedding is not normalised.
    embedding = encoder(images(56), "photo")
    found = (embedding @ weight.T + bias).log_softmax(1)
    own = embedding @ texts.T
    apart = (found - found[:, :1]) / (own - own[:, :1])
    torch.testing.assert_close(apart[:, 1:], apart[:1, 1:2].expand(3, 999), rtol=1e-2, atol=0)
    # Near the temperature of CLIP: the mini's embeddings are a third longer than expected.
    own_scale = clip.logit_scale.exp() / embedding.norm(dim=1).mean()
    assert 0.7 < apart[0, 1] / own_scale < 1.6


@pytest.mark.parametrize("frozen", [False, True])
def test_a_teacher_stays_what_the_encoder_was(weights: Path, network: Any, frozen: bool) -> None:
    encoder = TimmEncoder("test_resnet", str(weights), frozen=frozen)
    method = nn.Module()
    method.encoder, method.teacher = encoder, Teacher(encoder)
    expected = network(images()).detach()
    torch.testing.assert_close(method.teacher(images(), "photo"), expected)
    features = encoder.eval()(images(), "photo")
    torch.testing.assert_close(method.teacher(features, "photo", features=True), expected)
    assert not method.teacher(images(), "photo").requires_grad
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += float(not frozen)
    torch.testing.assert_close(method.teacher(images(), "photo"), expected)
    assert not [name for name in own_names(method) if name.startswith("teacher.")]


def test_a_vision_transformer_takes_another_size() -> None:
    encoder = TimmEncoder("test_vit", "random", size=96).eval()
    assert encoder(images(96), "photo").shape == (3, encoder.dim)


def test_attention_has_no_pretrained_classifier() -> None:
    with pytest.raises(SketchClipError, match="attention=false"):
        Teacher(TimmEncoder("test_resnet", "random", attention=True))


def test_an_encoder_without_a_classifier_says_so() -> None:
    encoder = TimmEncoder("test_resnet", "random")
    encoder._classifier = None
    with pytest.raises(SketchClipError, match="'test_resnet' has no classifier"):
        Teacher(encoder)
