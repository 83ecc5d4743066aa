"""SpLIP: what both towers compute, its losses and switches, and what is kept of it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, normalize, relu

from data_modules import SketchPhotoFolder
from data_modules.batch import TrainingBatch
from sketchclip.checkpoint import own_names, pretrained_networks
from sketchclip.clip import TextGuidedPrompts
from sketchclip.clip.text_guide import TextGuide
from sketchclip.clip.text_tower import TextTower
from sketchclip.errors import SketchClipError
from sketchclip.losses import patch_shuffle, permutation_bank
from sketchclip.methods import SpLIP, SpLIPFineGrained
from tests.sketchclip.clip.test_adapted_towers import by_hand

NAMES = ["cat", "hot air balloon", "dog", "tree", "house"]
LABELS, OTHERS = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 3, 1])
MINI = "sketchclip-mini"  # four visual and two text layers


def make(kind: type[SpLIP] = SpLIP, names: list[str] = NAMES, **settings: Any) -> SpLIP:
    given = {name: settings.pop(name) for name in [*settings] if name in _PROMPTS}
    torch.manual_seed(3)
    method = kind(names, MINI, adaptation=TextGuidedPrompts(**given), **settings)
    method.build_training_parts()
    method.read_names()
    method.logged = {}
    method.log_dict = lambda values, **_: method.logged.update(values)  # type: ignore
    method.log = lambda *_, **__: None  # type: ignore
    return method


_PROMPTS = {"text_context", "maps", "text_tokens", "word_prompts", "layer_prompts"}
_PROMPTS |= {"sketch_words", "photo_words", "momentum"}


def batch(size: int = 56) -> TrainingBatch:
    images = torch.randn(3, 4, 3, size, size, generator=torch.Generator().manual_seed(5))
    return TrainingBatch(*images, LABELS, negative_label=OTHERS)


def stir(method: SpLIP) -> None:
    """Move all that trains, so that no LayerNorm is CLIP's own and biases are not 0."""
    with torch.no_grad():
        for parameter in (p for p in method.parameters() if p.requires_grad):
            parameter += 0.05 * torch.randn_like(parameter)


ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "class only": {"lambda_triplet": 0.0, "lambda_jigsaw": 0.0},
    "triplet only": {"lambda_cls": 0.0, "lambda_jigsaw": 0.0},
    "fixed margin": {"margin": 0.2, "lambda_jigsaw": 0.0},
    "without jigsaw": {"lambda_jigsaw": 0.0},
    "without LayerNorms": {"layer_norm": "none"},
    "without B_v": {"word_prompts": False},
    "without B_t": {"text_tokens": 0},
    "without B_vt": {"layer_prompts": 0},
    "no visual prompts": {"word_prompts": False, "layer_prompts": 0},
    "no prompts": {"word_prompts": False, "layer_prompts": 0, "text_tokens": 0},
    "no text": {"layer_prompts": 0, "lambda_cls": 0.0},
    "two branches": {"layer_norm": "per_branch"},
    "flattened": {"maps": "flattened"},
    "image": {"text_context": "image"},
    "image, triplet": {"text_context": "image", "lambda_cls": 0.0},
    "image, flattened": {"text_context": "image", "maps": "flattened"},
    "clip": {"temperature": "clip", "distance": "cosine"},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_whatever_trains_has_a_gradient(name: str) -> None:
    method = make(**ABLATIONS[name])
    method.training_step(batch(), 0).backward()
    trained = {n: p for n, p in method.named_parameters() if p.requires_grad}
    assert trained
    assert [n for n, p in trained.items() if p.grad is None or not p.grad.any()] == []
    maps = {n.split(".")[2] for n in trained if n.startswith("adaptation.guide.")} - {"text"}
    absent = {
        "without B_v": {"from_words"},
        "without B_t": {"to_text"},
        "without B_vt": {"from_text"},
        "no visual prompts": {"from_words", "from_text"},
        "no prompts": {"to_text", "from_words", "from_text"},
        "no text": {"to_text", "from_text"},
    }
    assert maps == {"to_text", "from_words", "from_text"} - absent.get(name, set())
    norms = {n for n in trained if ".ln_" in n}
    assert any(n.startswith("sketch_tower.") for n in norms) == (name != "without LayerNorms")
    unread = name in ("without LayerNorms", "no text")
    assert any(".guide.text." in n for n in norms) != unread
    assert any(n.startswith("photo_tower.") for n in norms) == (name == "two branches")
    groups = method.parameter_groups()
    assert {id(p) for p in groups[1]["params"]} == {id(trained[n]) for n in norms}
    assert [group["lr"] for group in groups] == [1e-3, 1e-4]
    with torch.no_grad():
        embedded = method.eval().embed(batch().photo, "photo")
    assert embedded.isfinite().all()


# An implementation by hand: lists of tokens, one sentence and one image at a time.


def text_by_hand(clip: Any, text: nn.Module, ids: torch.Tensor, new: torch.Tensor | None) -> Any:
    """Outputs (L, N, W) up to the end token of one sentence, and its embedding."""
    end = int(ids.argmax())
    x = [
        clip.token_embedding.weight[token] + clip.positional_embedding[place]
        for place, token in enumerate(ids[: end + 1])
    ]
    mask = torch.full((end + 1, end + 1), -math.inf).triu(1)
    outputs = []
    for block in text.transformer.resblocks:
        if new is not None:
            x = [x[0], *new, *x[1 + len(new) :]]
        x = [*block(torch.stack(x)[None], attn_mask=mask)[0]]
        outputs.append(torch.stack(x))
    return torch.stack(outputs), text.ln_final(x[end]) @ clip.text_projection


def mapped(layers: nn.Sequential, values: torch.Tensor, count: int) -> torch.Tensor:
    first, *rest = [layer for layer in layers if isinstance(layer, nn.Linear)]
    values = first.weight @ values + first.bias
    for layer in rest:
        values = layer.weight @ values.clamp(min=0) + layer.bias
    return values.reshape(count, -1)


def prompts_by_hand(method: SpLIP, patches: torch.Tensor, side: str, names: list[str]) -> Any:
    """Prompts of the four layers and class embeddings, from mean patches, (49, W)."""
    import open_clip

    guide, clip, tokenizer = method.adaptation.guide, method.clip, open_clip.get_tokenizer(MINI)
    assert guide is not None
    article = f"a {side} of a"
    embedding = clip.token_embedding.weight
    words = torch.cat([embedding[token] for token in tokenizer(article)[0, 1:5]])
    from_words = mapped(guide.from_words, words, 4)
    new = mapped(guide.to_text, patches.mean(0), 4)
    sums, classes = [torch.zeros(128), torch.zeros(128)], []
    for name in names:
        ids = tokenizer(f"x x x x {article} {name}".strip())[0]
        outputs, embedded = text_by_hand(clip, guide.text, ids, new)
        sums = [s + layer.mean(0) for s, layer in zip(sums, outputs, strict=True)]
        classes.append(embedded)
    shared = [mapped(guide.from_text, s / len(names), 2) for s in sums]
    layers = [torch.cat([from_words, shared[text]]) for text in (0, 0, 1, 1)]
    return layers, torch.stack(classes)


def test_a_step_is_what_the_paper_says() -> None:
    method = make()
    stir(method)
    method.solver.eval()  # without dropout
    given = batch()
    with torch.no_grad():
        loss = method.training_step(given, 0)
    photos = torch.cat([given.photo, given.negative])
    found: dict[str, Any] = {}
    with torch.no_grad():
        for side, images in (("sketch", given.sketch), ("photo", photos)):
            patches = method.clip.visual.conv1(images).flatten(2).mean(0).T
            layers, classes = prompts_by_hand(method, patches, side, NAMES)
            visual = method.sketch_tower.visual
            found[side] = unit(by_hand(visual, images, layers)), unit(classes), layers
        index = (torch.rand(4, generator=method.draws(0)) * 100).long()
        larger = interpolate(given.sketch, 57, mode="bilinear")  # the next multiple of 3
        parts = [part for row in larger.tensor_split(3, 2) for part in row.tensor_split(3, 3)]
        blocks = torch.stack(parts, 1)  # (B, 9, 3, 19, 19)
        blocks = torch.stack([b[method.bank[i]] for b, i in zip(blocks, index, strict=True)])
        lines = [torch.cat([*blocks[:, row : row + 3].unbind(1)], 3) for row in (0, 3, 6)]
        back = interpolate(torch.cat(lines, 2), 56, mode="bilinear", antialias=True)
        moved = unit(by_hand(visual, back, found["sketch"][2]))
        s, (p, n) = found["sketch"][0], found["photo"][0].chunk(2)
        frozen = unit(method.clip.encode_text(_tokens("a photo of a {}")))
        mu = torch.stack([frozen[a] @ frozen[b] for a, b in zip(LABELS, OTHERS, strict=True)])
        triplet = relu((s - p).pow(2).sum(1) - (s - n).pow(2).sum(1) + mu).mean()
        sides = ((s, "sketch", LABELS), (p, "photo", LABELS), (n, "photo", OTHERS))
        classes = sum(cross_entropy(e @ found[side][1].T / 0.07, y) for e, side, y in sides) / 3
        own, near, far = (
            cross_entropy(method.solver(e, moved), index, reduction="none") for e in (s, p, n)
        )
        jigsaw = own.mean() + relu(near - far).mean()
    expected = {"triplet": triplet, "classes": classes, "jigsaw": 0.5 * jigsaw}
    for name, value in expected.items():
        torch.testing.assert_close(method.logged[f"train/{name}"], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, sum(expected.values()), rtol=1e-4, atol=1e-5)


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.square().sum(1, keepdim=True).sqrt()


def _tokens(template: str) -> torch.Tensor:
    import open_clip

    return open_clip.get_tokenizer(MINI)([template.format(name) for name in NAMES])


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
        expected = method.clip.encode_text(_tokens("a photo of a {}"))
        _, sketches = method.adaptation.guided(batch().photo, "sketch")
    torch.testing.assert_close(texts, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(sketches, texts, atol=1e-2)


def test_maps_of_zeros_are_clip_with_six_zero_tokens() -> None:
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


def test_one_class_and_equal_photos_leave_the_margin() -> None:
    method = make(SpLIPFineGrained, margin="formula", lambda_cls=0.0, lambda_jigsaw=0.0)
    given = batch()
    given.negative = given.photo
    with torch.no_grad():
        assert float(method.training_step(given, 0)) == pytest.approx(1.0, abs=1e-6)
        fixed = make(SpLIPFineGrained, lambda_cls=0.0, lambda_jigsaw=0.0)
        assert float(fixed.training_step(given, 0)) == pytest.approx(0.2, abs=1e-6)


def test_a_solver_that_knows_nothing_has_the_logarithm_of_all_permutations() -> None:
    method = make(lambda_cls=0.0, lambda_triplet=0.0, lambda_jigsaw=1.0)
    with torch.no_grad():
        for parameter in method.solver.parameters():
            parameter.zero_()
        loss = method.training_step(batch(), 0)
    assert float(loss) == pytest.approx(math.log(100), abs=1e-5)


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
        many = normalize(method.embed(images, "sketch"), dim=1)
        for at in (0, 40):
            one = normalize(method.embed(images[at : at + 1], "sketch"), dim=1)
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


def test_sizes_on_vit_b32(vit_b32: Any) -> None:
    words = torch.zeros(2, 4, dtype=torch.int64)
    for form, expected in (("mean", 9_314_048), ("flattened", 58_072_832)):
        settings: tuple[Any, ...] = (form, 4, True, 2, True, True, 0.99)
        with torch.device("meta"):  # 58 million parameters are counted, not drawn
            guide = TextGuide(vit_b32, words, *settings)
        trained = {n: p.numel() for n, p in guide.named_parameters() if p.requires_grad}
        norms = sum(size for name, size in trained.items() if name.startswith("text."))
        assert (sum(trained.values()) - norms, norms) == (expected, 25_600)


def test_permutations_are_different_and_move_something() -> None:
    bank = permutation_bank(23, 2)
    assert len({tuple(row) for row in bank.tolist()}) == 23
    assert [0, 1, 2, 3] not in bank.tolist()
    assert torch.equal(permutation_bank(100, 3), permutation_bank(100, 3))
    assert not torch.equal(permutation_bank(100, 3), permutation_bank(100, 3, seed=1))
    with pytest.raises(ValueError, match="1 to 23"):
        permutation_bank(24, 2)


def test_a_size_that_blocks_do_not_divide_is_resized_and_back() -> None:
    ramp = torch.arange(224.0).expand(2, 3, 224, 224)
    same = torch.arange(9).expand(2, -1)
    edge = {fit: patch_shuffle(ramp, same, fit)[..., 0] for fit in ("crop", "resize")}
    assert edge["resize"].abs().max() < 0.3
    assert edge["crop"].min() > 0.9  # two columns are lost
    images = torch.rand(2, 3, 9, 9)  # which 3 divides
    order = torch.stack([torch.randperm(9) for _ in range(2)])
    assert torch.equal(patch_shuffle(images, order, "resize"), patch_shuffle(images, order))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sketch_words": "a drawing"}, "found 2 in 'a drawing' and 4 in 'a photo of a'"),
        ({"sketch_words": "", "photo_words": ""}, "found 0"),
        ({"text_tokens": -1}, "text_tokens=-1"),
        ({"layer_prompts": -2}, "layer_prompts=-2"),
        ({"blocks": 2}, "23 of 2 x 2"),
        ({"blocks": 1}, "at least 2 blocks"),
        ({"permutations": 0}, "permutations=0"),
        ({"lambda_triplet": 0, "lambda_cls": 0, "lambda_jigsaw": 0}, "all 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SketchClipError, match=message):
        make(**settings)


def test_a_text_tower_of_another_kind_is_refused(make_clip: Any) -> None:
    clip = make_clip("tiny")
    clip.text_pool_type = "last"
    with pytest.raises(SketchClipError, match="pooling 'last'"):
        TextTower(clip)


def test_a_class_of_the_gallery_among_the_texts_is_refused(tree: Path) -> None:
    from lightning.pytorch import Trainer

    data = SketchPhotoFolder(str(tree), split="random:2:0", num_workers=0, batch_size=4)
    unseen = data.catalogue.split.unseen[0]
    method = make(names=[*data.class_names, unseen])
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with pytest.raises(SketchClipError, match=unseen):
        trainer.fit(method, datamodule=data)


def test_triplets_say_the_class_of_their_negative(tree: Path) -> None:
    data = SketchPhotoFolder(str(tree), split="random:2:0", num_workers=0, batch_size=4)
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    for at in range(len(dataset)):
        item = dataset[at]
        assert item.negative_label != item.label
        assert 0 <= item.negative_label < len(data.class_names)
