"""Patch tokens of ViTs, and a stem beside their patch embedding."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from sketchclip.clip import CLIPImageEncoder
from sketchclip.encoders import TimmEncoder
from sketchclip.encoders.patch_stem import AveragedPatches
from sketchclip.errors import SketchClipError
from tests.sketchclip.encoders.test_two_tokens import pictures


@pytest.mark.parametrize("kind", ["timm", "open_clip", "mini"])
def test_the_first_token_is_the_embedding_and_all_that_trains_is_in_it(
    kind: str, tiny_weights: Path
) -> None:
    torch.manual_seed(0)
    made: dict[str, Any] = {
        "timm": lambda: TimmEncoder("test_vit", "random", size=64),
        "open_clip": lambda: CLIPImageEncoder("tiny", str(tiny_weights)),
        "mini": lambda: CLIPImageEncoder("sketchclip-mini"),
    }
    encoder = made[kind]().eval()
    images = pictures(encoder)
    tokens = encoder.tokens(images)
    assert tokens.shape == (2, 1 + encoder.patches, encoder.dim)
    torch.testing.assert_close(tokens[:, 0], encoder(images, "photo"), atol=1e-5, rtol=1e-5)
    assert tokens[:, 1:].std(1).min() > 0  # places differ
    tokens.square().sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None]


def test_encoders_without_patch_tokens_say_so() -> None:
    encoder = TimmEncoder("test_resnet", "random", size=64)
    assert encoder.patches == 0
    registers = TimmEncoder("test_vit", "random", size=64)
    registers.net.num_prefix_tokens = 5
    assert registers.patches == 0


def test_the_stem_is_averaged_into_the_patches() -> None:
    torch.manual_seed(0)
    encoder = TimmEncoder("test_vit", "random", size=64, stem=True, token_dropout=0.25)
    plain = TimmEncoder("test_vit", "random", size=64)
    own = {n: t for n, t in encoder.net.state_dict().items() if ".stem." not in n}
    plain.net.load_state_dict({n.replace(".own.", "."): t for n, t in own.items()})
    images = pictures(encoder)
    patches = encoder.net.patch_embed.proj
    x = images
    for at, weight in enumerate(patches.stem.parameters()):
        x = F.conv2d(x, weight, stride=2, padding=weight.shape[2] // 2)
        x = x if at == 3 else x.relu()
    expected = (plain.net.patch_embed.proj(images) + x) / 2
    torch.testing.assert_close(patches(images), expected)
    assert encoder.origin["name"] == plain.origin["name"]
    encoder.train()
    assert not torch.equal(encoder.tokens(images), encoder.tokens(images))  # dropout
    plain.train()
    assert torch.equal(plain.tokens(images), plain.tokens(images))


def test_the_stem_of_the_paper_has_its_size() -> None:
    with torch.device("meta"):
        net = timm.create_model("vit_base_patch16_224.sam_in1k", pretrained=False)
        patches = AveragedPatches(net.patch_embed.proj)
    assert net.global_pool == "token"
    assert sum(p.numel() for p in patches.stem.parameters()) == 2_147_520


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("test_resnet", {"stem": True}, "takes no stem.*patches of 16 pixels.*found none"),
        ("test_vit", {"stem": True, "frozen": True}, "stem has weights that must train"),
        ("test_resnet", {"token_dropout": 0.1}, "takes no token_dropout: expected a ViT"),
    ],
)
def test_settings_that_do_not_go_with_a_network(name: str, options: Any, told: str) -> None:
    with pytest.raises(SketchClipError, match=told):
        TimmEncoder(name, "random", size=64, **options)
