"""Second tokens: of ViTs of timm and open_clip, and layers over any other embedding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sketchclip.clip import CLIPImageEncoder
from sketchclip.encoders import TimmEncoder, TwoTokens, load_prototypes
from sketchclip.errors import SketchClipError
from sketchclip.nn import PrototypeHead


def pictures(encoder: Any) -> torch.Tensor:
    noise = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, encoder.image_size, encoder.image_size, generator=noise)


@pytest.fixture(params=["timm", "timm with registers", "open_clip", "mini"])
def transformer(request: pytest.FixtureRequest, tiny_weights: Path) -> Any:
    torch.manual_seed(0)
    if request.param == "open_clip":
        return CLIPImageEncoder("tiny", str(tiny_weights)).eval()
    if request.param == "mini":
        return CLIPImageEncoder("sketchclip-mini").eval()
    encoder = TimmEncoder("test_vit", "random", size=64).eval()
    if request.param == "timm with registers":
        net = encoder.net
        net.reg_token = nn.Parameter(torch.randn(1, 4, 64))
        net.num_prefix_tokens, net.no_embed_class = 5, True
        net.pos_embed = nn.Parameter(net.pos_embed.detach()[:, 1:])
    return encoder


def test_a_second_token_stands_beside_the_class_token(transformer: Any) -> None:
    tokens, images = TwoTokens(transformer), pictures(transformer)
    assert tokens.heads is None
    both = tokens(transformer, images, "photo")
    assert both.shape == (2, 2, transformer.dim)
    # A copy of the class token gives what that gives, and stays near what it gave alone.
    torch.testing.assert_close(both[:, 0], both[:, 1], atol=1e-5, rtol=1e-5)
    alone = transformer(images, "photo")
    assert nn.functional.cosine_similarity(both[:, 0], alone).min() > 0.9
    assert not torch.equal(both[:, 0], alone)
    both[:, 0].square().sum().backward()
    for parameter in tokens.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    names = {n for n, p in transformer.named_parameters() if p.grad is None}
    assert not names


def test_one_position_more_changes_nothing_else(transformer: Any) -> None:
    """Blocks that pass tokens on leave both as they entered: each goes through the last layers."""
    images = pictures(transformer)
    tokens = TwoTokens(transformer)
    with torch.no_grad():
        tokens.token.add_(torch.randn(tokens.token.shape, generator=torch.Generator()))
    net = getattr(transformer, "net", None) or transformer.visual
    for part in [*net.modules()]:
        for name in ("attn", "mlp", "attention"):
            if isinstance(getattr(part, name, None), nn.Module):
                for parameter in getattr(part, name).parameters():
                    nn.init.zeros_(parameter)
    with torch.no_grad():
        both = tokens(transformer, images, "photo")
        torch.testing.assert_close(both[:, 0], transformer(images, "photo"))
        second = (tokens.token + tokens.position)[0]
        if hasattr(transformer, "net"):
            expected = net.norm(net.norm_pre(second))
        else:
            expected = net.ln_post(net.ln_pre(second)) @ net.proj
    torch.testing.assert_close(both[:, 1], expected.expand_as(both[:, 1]))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("distills", [True, False])
def test_other_encoders_have_a_layer_for_each(name: str, distills: bool) -> None:
    encoder = TimmEncoder(name, "random", frozen=name == "test_vit", size=64).eval()
    tokens, images = TwoTokens(encoder, distills), pictures(encoder)
    alone = encoder(images, "sketch")
    found = tokens(encoder, images, "sketch")
    torch.testing.assert_close(found, alone[:, None].expand(-1, 1 + distills, -1))
    torch.testing.assert_close(tokens(encoder, alone, "sketch", features=True), found)


def test_a_pooled_vit_takes_no_token() -> None:
    encoder = TimmEncoder("test_vit", "random", size=64)
    encoder.net.global_pool = "avg"
    assert encoder.class_token() is None
    assert CLIPImageEncoder("sketchclip-mini", frozen=True).class_token() is not None


def test_dinos_own_head(tmp_path: Path) -> None:
    head, given = PrototypeHead(6, 9, 5, 4), PrototypeHead(6, 9, 5, 4)
    state = {f"head.mlp.{n.removeprefix('project.')}": t for n, t in given.state_dict().items()}
    state["head.last_layer.weight_v"] = state.pop("head.mlp.prototypes.weight")
    torch.save({**state, "head.last_layer.weight_g": torch.ones(9, 1)}, tmp_path / "head.pt")
    load_prototypes(head, str(tmp_path / "head.pt"))
    x = torch.randn(3, 6)
    torch.testing.assert_close(head(x), given(x))
    with pytest.raises(SketchClipError, match=r"last_layer\.weight_v"):
        load_prototypes(PrototypeHead(6, 8, 5, 4), str(tmp_path / "head.pt"))
    with pytest.raises(SketchClipError, match="no file"):
        load_prototypes(head, str(tmp_path / "other.pt"))
