"""Parity with the released code of the paper; its tower is written out here with plain tensors."""

import copy

import pytest
import torch
from torch import Tensor

from sketchclip.adaptations import IndependentPrompts
from sketchclip.checkpoint import trainable_names
from sketchclip.methods import ZeroShotPromptLearning

HEADS = 12  # of ViT-B/32


@pytest.fixture(scope="module")
def official(vit_b32):
    """The model of Sketch_LVM: one encoder, N(0, 1) prompts for each side, no text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sketchclip.clip.encoder.load_backbone", lambda *_: vit_b32)
        return ZeroShotPromptLearning(
            class_names=["cat", "dog"],
            adaptation=IndependentPrompts(n_prompts=3, std=1.0),
            layer_norm="shared",
            also_train="official_leak",
            lambda_cls=0,
            margin=0.2,
        )


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * weight + bias


def attention(x: Tensor, state: dict[str, Tensor], heads: int) -> Tensor:
    batch, length, width = x.shape
    projected = x @ state["in_proj_weight"].T + state["in_proj_bias"]
    q, k, v = (
        part.reshape(batch, length, heads, width // heads).transpose(1, 2)
        for part in projected.split(width, dim=-1)
    )
    scores = q @ k.transpose(-1, -2) / (width // heads) ** 0.5
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
    return mixed @ state["out_proj.weight"].T + state["out_proj.bias"]


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + (-1.702 * x).exp())


def under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def released_tower(state: dict[str, Tensor], images: Tensor, prompts: Tensor) -> Tensor:
    """``VisionTransformer.forward(x, prompt)`` of src/clip/model.py, in fp64."""
    kernel = state["conv1.weight"]
    side = kernel.shape[-1]
    # Convolution without overlap: each patch, as a row, times the kernel.
    patches = images.unfold(2, side, side).unfold(3, side, side)
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = patches @ kernel.flatten(1).T
    first = state["class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([first, x], dim=1) + state["positional_embedding"]
    x = torch.cat([x, prompts.expand(len(images), -1, -1)], dim=1)
    x = layer_norm(x, state["ln_pre.weight"], state["ln_pre.bias"])
    layers = 1 + max(int(n.split(".")[2]) for n in state if n.startswith("transformer."))
    for layer in range(layers):
        block = under(state, f"transformer.resblocks.{layer}.")
        y = layer_norm(x, block["ln_1.weight"], block["ln_1.bias"])
        x = x + attention(y, under(block, "attn."), HEADS)
        y = layer_norm(x, block["ln_2.weight"], block["ln_2.bias"])
        y = quick_gelu(y @ block["mlp.c_fc.weight"].T + block["mlp.c_fc.bias"])
        x = x + y @ block["mlp.c_proj.weight"].T + block["mlp.c_proj.bias"]
    x = layer_norm(x[:, 0], state["ln_post.weight"], state["ln_post.bias"])
    return x @ state["proj"]


@pytest.mark.parametrize("side", ["sketch", "photo"])
def test_the_forward_is_that_of_the_released_code(official, side):
    """In fp64, where nothing can hide in the rounding, and roughly in fp32."""
    images = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    tower = copy.deepcopy(getattr(official, f"{side}_tower")).double()
    state = dict(tower.visual.state_dict())
    other = {"sketch": "photo", "photo": "sketch"}[side]
    with torch.no_grad():
        expected = released_tower(state, images, getattr(tower.adaptation, side))
        torch.testing.assert_close(tower(images), expected, rtol=1e-10, atol=1e-10)
        in_fp32 = official.embed(images.float(), side)
        torch.testing.assert_close(in_fp32, expected.float(), rtol=1e-4, atol=1e-4)
        others = released_tower(state, images, getattr(tower.adaptation, other))
    assert (others - expected).abs().max() > 1e-3


def test_trains_all_that_is_not_named_weight_or_bias_and_the_layer_norms(official):
    """``freeze_all_but_bn`` looks for attributes of these two names, and freezes them alone."""
    norms = ["ln_pre", "ln_post"]
    leaked = {"class_embedding", "positional_embedding", "proj"}
    for layer in range(12):
        block = f"transformer.resblocks.{layer}"
        leaked |= {f"{block}.attn.in_proj_weight", f"{block}.attn.in_proj_bias"}
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
    visual = leaked | {f"{n}.{p}" for n in norms for p in ("weight", "bias")}
    names = trainable_names(official)
    assert sorted(names) == sorted(
        ["adaptation.sketch", "adaptation.photo", *(f"sketch_tower.visual.{n}" for n in visual)]
    )
    sizes = {n: official.get_parameter(n).numel() for n in names}
    of_leak = sum(sizes[f"sketch_tower.visual.{n}"] for n in leaked)
    assert of_leak == 12 * 3 * 768 * 769 + 51 * 768 + 768 * 512 == 21_693_696
    assert sum(sizes.values()) == of_leak + 39_936 + 2 * 3 * 768
    assert official.text_head is None
