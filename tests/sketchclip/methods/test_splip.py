"""SpLIP: its losses and switches, and which of its tensors train."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn.functional import cross_entropy, interpolate, relu

from data_modules import SketchPhotoFolder
from sketchclip.errors import SketchClipError
from sketchclip.methods import SpLIPFineGrained
from tests.helpers.splip import (
    LABELS,
    NAMES,
    OTHERS,
    batch,
    make,
    prompts_by_hand,
    stir,
    tokens,
    unit,
)
from tests.sketchclip.clip.test_adapted_towers import by_hand

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
        frozen = unit(method.clip.encode_text(tokens("a photo of a {}")))
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sketch_words": "a drawing"}, "found 2 in 'a drawing' and 4 in 'a photo of a'"),
        ({"sketch_words": "", "photo_words": ""}, "found 0"),
        ({"text_tokens": -1}, "text_tokens.*found -1"),
        ({"layer_prompts": -2}, "layer_prompts.*found -2"),
        ({"blocks": 2}, "23 of 2 x 2"),
        ({"blocks": 1}, "at least 2 blocks"),
        ({"permutations": 0}, "permutations.*found 0"),
        ({"lambda_triplet": 0, "lambda_cls": 0, "lambda_jigsaw": 0}, "all 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SketchClipError, match=message):
        make(**settings)


def test_a_class_of_the_gallery_among_the_texts_is_refused(tree: Path) -> None:
    data = SketchPhotoFolder(str(tree), split="random:2:0", num_workers=0, batch_size=4)
    unseen = data.catalogue.split.unseen[0]
    method = make(names=[*data.class_names, unseen])
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with pytest.raises(SketchClipError, match=unseen):
        trainer.fit(method, datamodule=data)
