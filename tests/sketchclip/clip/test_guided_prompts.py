"""Prompts that the text tower makes: against loops by hand, and what is kept of them."""

from typing import Any

import pytest
import torch

from sketchclip.checkpoint import own_names, pretrained_networks
from sketchclip.clip import TextGuidedPrompts
from sketchclip.clip.text_guide import TextGuide
from sketchclip.clip.text_tower import TextTower
from sketchclip.errors import SketchClipError
from tests.helpers.splip import NAMES, batch, make, prompts_by_hand, stir, tokens, unit
from tests.sketchclip.clip.test_adapted_towers import by_hand


def test_prompts_of_an_image_come_from_its_own_patches() -> None:
    method = make(text_context="image").eval()
    stir(method)
    images = batch().sketch
    with torch.no_grad():
        found = method.embed(images, "sketch")
        for image, row in zip(images, found, strict=True):
            patches = method.clip.visual.conv1(image[None])[0].flatten(1).T
            layers, _ = prompts_by_hand(method, patches, "sketch", [""])
            expected = by_hand(method.sketch_tower.visual, image[None], layers)[0]
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)


def test_without_tokens_of_patches_the_text_is_clips_own() -> None:
    method = make(text_tokens=0)
    with torch.no_grad():
        _, texts = method.adaptation.guided(batch().photo, "photo")
        expected = method.clip.encode_text(tokens("a photo of a {}"))
        _, sketches = method.adaptation.guided(batch().photo, "sketch")
    torch.testing.assert_close(texts, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(sketches, texts, atol=1e-2)


def test_maps_of_zeros_are_clip_with_six_zerotokens() -> None:
    method = make()
    assert method.adaptation.guide is not None
    with torch.no_grad():
        for name, parameter in method.adaptation.guide.named_parameters():
            if not name.startswith("text."):
                parameter.zero_()
        images, visual = batch().photo, method.clip.visual
        found = method.eval().embed(images, "photo")
        expected = by_hand(visual, images, [torch.zeros(6, 128)] * 4)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found, method.clip.encode_image(images), atol=1e-2)
        plain = make(word_prompts=False, layer_prompts=0).eval().embed(images, "photo")
        torch.testing.assert_close(plain, method.clip.encode_image(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("context", ["seen_classes", "image"])
@pytest.mark.parametrize("maps", ["mean", "flattened"])
def test_the_order_of_classes_leaves_vectors_unchanged(context: str, maps: str) -> None:
    found, images = [], batch().photo
    for names in (NAMES, [NAMES[i] for i in (3, 1, 4, 0, 2)]):
        method = make(names=names, text_context=context, maps=maps)
        with torch.no_grad():
            method.adaptation.guided(images, "photo")  # moves the mean of patches
            found.append(unit(method.eval().embed(images, "photo")))
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("context", ["seen_classes", "image"])
def test_a_vector_depends_on_no_other_image(context: str) -> None:
    method, images = make(text_context=context), torch.randn(64, 3, 56, 56)
    with torch.no_grad():
        method.adaptation.guided(images[:8], "sketch")
        method.eval()
        many = unit(method.embed(images, "sketch"))
        for at in (0, 40):
            one = unit(method.embed(images[at : at + 1], "sketch"))
            torch.testing.assert_close(one[0], many[at], rtol=1e-5, atol=1e-5)


def test_prompts_at_test_follow_a_moving_mean_of_patches() -> None:
    method = make(momentum=0.9)
    guide = method.adaptation.guide
    assert guide is not None
    batches = torch.randn(3, 4, 3, 56, 56)
    with torch.no_grad():
        means = [method.clip.visual.conv1(images).flatten(2).mean(0).T for images in batches]
        for images in batches:
            prompts, _ = method.adaptation.guided(images, "photo")
        expected = 0.9 * (0.9 * means[0] + 0.1 * means[1]) + 0.1 * means[2]
        torch.testing.assert_close(guide.means[1], expected, rtol=1e-5, atol=1e-5)
        assert not guide.means[0].any()
        assert not method.adaptation.photo.any()
        method.eval().embed(batches[0], "photo")
        layers, _ = prompts_by_hand(method, expected, "photo", NAMES)
        found = method.adaptation.photo.clone()
        torch.testing.assert_close(found, torch.stack(layers), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found, prompts, atol=1e-4)
        stir(method)  # without a step nothing is computed anew
        method.embed(batches[0], "photo")
        assert torch.equal(method.adaptation.photo, found)
        method.training_step(batch(), 0)
        method.embed(batches[0], "photo")
        assert not torch.allclose(method.adaptation.photo, found, atol=1e-3)


def test_frozen_tensors_of_the_text_tower_are_shared() -> None:
    method = make()
    stir(method)
    text, clip = method.adaptation.guide.text, method.clip  # type: ignore[union-attr]
    frozen = {n: p for n, p in text.named_parameters() if not p.requires_grad}
    assert {id(p) for p in frozen.values()} <= {id(p) for p in clip.parameters()}
    assert "token_embedding.weight" in frozen
    assert not torch.equal(text.ln_final.weight, clip.ln_final.weight)
    kept = {*own_names(method)}
    assert not {f"adaptation.guide.text.{n}" for n in frozen} & kept
    assert "adaptation.guide.text.ln_final.weight" in kept
    assert "adaptation.guide.text" in {name for name, _ in pretrained_networks(method)}
    method.train()
    assert not text.training


def test_a_method_without_a_text_tower_is_refused(make_method: Any) -> None:
    method = make_method(adaptation=TextGuidedPrompts())
    with pytest.raises(SketchClipError, match="expected --model SpLIP"):
        method.embed(torch.randn(2, 3, 32, 32), "photo")


def test_sizes_on_vit_b32(vit_b32: Any) -> None:
    words = torch.zeros(2, 4, dtype=torch.int64)
    for form, expected in (("mean", 9_314_048), ("flattened", 58_072_832)):
        settings: tuple[Any, ...] = (form, 4, True, 2, True, True, 0.99)
        with torch.device("meta"):  # 58 million parameters are counted, not drawn
            guide = TextGuide(vit_b32, words, *settings)
        trained = {n: p.numel() for n, p in guide.named_parameters() if p.requires_grad}
        norms = sum(size for name, size in trained.items() if name.startswith("text."))
        assert (sum(trained.values()) - norms, norms) == (expected, 25_600)


def test_a_text_tower_of_another_kind_is_refused(make_clip: Any) -> None:
    clip = make_clip("tiny")
    clip.text_pool_type = "last"
    with pytest.raises(SketchClipError, match="pooling 'last'"):
        TextTower(clip)
