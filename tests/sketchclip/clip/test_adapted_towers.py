"""What adapted towers compute, against derivations that share no code with them."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sketchclip.adaptations import (
    Adaptation,
    ConditionedPrompts,
    CoupledPrompts,
    DeepPrompts,
    FullFineTuning,
    IndependentPrompts,
    LinearHead,
)
from sketchclip.clip.towers import PromptedTower, fork_visual


def visual_of(make_clip, name: str) -> nn.Module:
    return make_clip(name).requires_grad_(False).visual


def tower_of(visual: nn.Module, adaptation: Adaptation, side: str) -> PromptedTower:
    adaptation.build(visual)
    return PromptedTower(fork_visual(visual, "none", "nothing"), adaptation, side)


def by_hand(visual: nn.Module, images: torch.Tensor, prompts: list[torch.Tensor]) -> torch.Tensor:
    """Tokens in a list, one image after the other; ``prompts`` of the first layers, (K, W) each."""
    rows = []
    for image in images:
        tokens = [visual.class_embedding, *visual.conv1(image[None])[0].flatten(1).T]
        tokens = [visual.ln_pre(t + p) for t, p in zip(tokens, visual.positional_embedding)]  # noqa: B905
        count = len(tokens)
        for layer, block in enumerate(visual.transformer.resblocks):
            if layer < len(prompts):
                new = [visual.ln_pre(p) if layer == 0 else p for p in prompts[layer]]
                tokens = [*tokens[:count], *new]
            tokens = [*block(torch.stack(tokens)[None])[0]]
        tokens = visual.ln_post(torch.stack(tokens[:count]))
        pooled = tokens[1:].mean(0) if visual.pool_type == "avg" else tokens[0]
        rows.append(pooled @ visual.proj)
    return torch.stack(rows)


@pytest.mark.parametrize("arch", ["tiny", "tiny-avg", "tiny-deep"])
@pytest.mark.parametrize("side", ["sketch", "photo"])
def test_deep_prompts_replace_those_of_the_layer_before(make_clip, arch, side):
    visual, images = visual_of(make_clip, arch), torch.randn(3, 3, 32, 32)
    found = []
    for depth in range(1, len(visual.transformer.resblocks) + 1):
        adaptation = DeepPrompts(2, depth=depth, std=1.0)
        tower = tower_of(visual, adaptation, side)
        with torch.no_grad():
            found.append(tower(images))
            expected = by_hand(visual, images, list(getattr(adaptation, side)))
        torch.testing.assert_close(found[-1], expected, rtol=1e-4, atol=1e-5)
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(found, 2))


@pytest.mark.parametrize("arch", ["tiny", "tiny-avg"])
def test_coupled_prompts_of_photos_are_a_linear_function_of_the_sketches(make_clip, arch):
    visual, images = visual_of(make_clip, arch), torch.randn(2, 3, 32, 32)
    adaptation = CoupledPrompts(2, std=1.0)
    for side in ("sketch", "photo"):
        tower = tower_of(visual, adaptation, side)
        prompts = adaptation.sketch
        if side == "photo":
            layer = adaptation.to_photo
            prompts = torch.stack([layer.weight @ p + layer.bias for p in prompts])
        with torch.no_grad():
            ours, expected = tower(images), by_hand(visual, images, [prompts])
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["tiny", "tiny-avg"])
def test_conditioned_prompts_move_with_the_frozen_embedding(make_clip, arch):
    visual, images = visual_of(make_clip, arch), torch.randn(3, 3, 32, 32)
    adaptation = ConditionedPrompts(2, hidden=5, std=1.0)
    tower = tower_of(visual, adaptation, "photo")
    first, last = adaptation.net[0], adaptation.net[2]
    with torch.no_grad():
        ours = tower(images)
        assert not torch.allclose(*adaptation.prompts(images, "photo")[:2], atol=1e-3)
        for image, row in zip(images, ours, strict=True):
            feature = visual(image[None])[0]
            hidden = (first.weight @ (feature / feature.norm()) + first.bias).clamp(min=0)
            prompts = adaptation.common + (last.weight @ hidden + last.bias)
            expected = by_hand(visual, image[None], [prompts])[0]
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)
    assert not any("_frozen" in n or "visual" in n for n, _ in adaptation.named_modules())


@pytest.mark.parametrize("adaptation", [Adaptation, LinearHead, FullFineTuning])
def test_before_training_these_are_the_frozen_model(make_clip, adaptation):
    for arch in ("tiny", "tiny-avg"):
        clip, images = make_clip(arch), torch.randn(2, 3, 32, 32)
        for side in ("sketch", "photo"):
            tower = tower_of(clip.visual, adaptation(), side)
            with torch.no_grad():
                torch.testing.assert_close(
                    tower(images), clip.encode_image(images), rtol=1e-6, atol=1e-6
                )


def test_a_linear_head_is_an_affine_map_for_images_and_features(make_clip):
    visual, images = visual_of(make_clip, "tiny"), torch.randn(2, 3, 32, 32)
    head = LinearHead(shared=False, init="random")
    for side in ("sketch", "photo"):
        tower = tower_of(visual, head, side)
        layer = getattr(head, side)
        with torch.no_grad():
            expected = torch.stack([layer.weight @ f + layer.bias for f in visual(images)])
            torch.testing.assert_close(tower(images), expected)
            assert torch.equal(tower(images), head.head(visual(images), side))
    assert not torch.equal(head.sketch.weight, head.photo.weight)
    assert LinearHead().shared


def test_prompts_read_in_place_of_the_class_token(make_clip):
    """ClipPrompt's mistake: prompts come first and the first token is read."""
    visual, images = visual_of(make_clip, "tiny"), torch.randn(2, 3, 32, 32)
    adaptation = IndependentPrompts(2, std=1.0, reads_prompt=True)
    tower = tower_of(visual, adaptation, "sketch")
    with torch.no_grad():
        prompts = visual.ln_pre(adaptation.sketch).expand(2, -1, -1)
        tokens = visual.transformer(torch.cat([prompts, visual._embeds(images)], dim=1))
        expected = visual.ln_post(tokens)[:, 0] @ visual.proj
        torch.testing.assert_close(tower(images), expected, rtol=1e-4, atol=1e-5)
        adaptation.reads_prompt = False
        assert F.cosine_similarity(tower(images), expected).max() < 0.99
    assert not IndependentPrompts(0, reads_prompt=True).reads_prompt
