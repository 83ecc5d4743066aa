"""The fine-grained method: its loss and each switch, and what its random draws depend on."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data_modules.batch import TrainingBatch
from sketchclip.adaptations import CommonPrompts
from sketchclip.errors import SketchClipError
from sketchclip.losses import draw_permutations
from sketchclip.methods import FineGrainedPromptLearning
from tests.helpers.references import (
    classification_reference,
    divergence_reference,
    hardest_reference,
    shuffle_reference,
    triplet_reference,
    unit,
)

NAMES = [f"class {i}" for i in range(5)]
LABELS = torch.tensor([4, 4, 4, 1, 1, 1])


@pytest.fixture
def make(tiny_weights):
    def call(**settings: Any) -> FineGrainedPromptLearning:
        method = FineGrainedPromptLearning(
            **{
                "class_names": NAMES,
                "backbone": "tiny",
                "pretrained": str(tiny_weights),
                "adaptation": CommonPrompts(2, std=1.0),
                **settings,
            }
        )
        method.build_training_parts()
        if method.text_head is not None:
            method.text_head.prepare(method.clip, method.backbone, NAMES)
        method.logged = {}
        method.log_dict = lambda values, **_: method.logged.update(values)
        method.log = lambda *_, **__: None
        return method

    return call


@pytest.fixture
def batch() -> TrainingBatch:
    """Two classes of three; the photos of a class are near to each other in part."""
    images = torch.randn(3, 6, 3, 32, 32)
    images[1, 1] = images[1, 0]  # the same photo twice
    return TrainingBatch(*images, LABELS, torch.tensor([9, 9, 8, 3, 4, 5]))


SWITCHES: dict[str, dict[str, Any]] = {
    "paper": {},
    "no classification": {"lambda_cls": 0.0},
    "no divergence": {"lambda_delta": 0.0},
    "no shuffling": {"lambda_ps": 0.0},
    "one patch": {"patches": 1},
    "16 patches": {"patches": 4},
    "triplet alone": {"lambda_cls": 0.0, "lambda_delta": 0.0, "lambda_ps": 0.0},
    "batch_hard": {"negatives": "batch_hard", "lambda_delta": 1.0},
    "hard_negative": {"ps_negative": "hard_negative"},
    "shuffled alike": {"ps_scope": "batch"},
    "sorted": {"delta_order": "sorted", "lambda_delta": 50.0},
    "temperatures": {"delta_temperature": 0.1, "lambda_delta": 5.0, "cls_temperature": 0.05},
    "margins": {"margin": 0.9, "ps_margin": 0.7},
}


def parts(method, batch: TrainingBatch, settings: dict[str, Any]) -> dict[str, float]:
    """The losses that the settings name, from embeddings."""

    def embed(images: torch.Tensor | np.ndarray, side: str) -> np.ndarray:
        with torch.no_grad():
            return method.embed(torch.as_tensor(images), side).numpy()

    s, p = embed(batch.sketch, "sketch"), embed(batch.photo, "photo")
    n = embed(batch.negative, "photo")
    labels = batch.label.numpy()
    if settings.get("negatives") == "batch_hard":
        n = hardest_reference(s, p, n, labels, batch.instance.numpy())
    found = {"train/hard": triplet_reference(s, p, n, settings.get("margin", 0.3))}
    if settings.get("lambda_cls", 0.5):
        bank = method.text_bank().numpy()
        scale = float(method.clip.logit_scale.exp())
        scale = 1 / settings.get("cls_temperature", 1 / scale)
        for name, images in (("sketch", s), ("photo", p)):
            found[f"train/cls_{name}"] = classification_reference(images, bank, labels, scale)
    if settings.get("lambda_delta", 0.1):
        delta = np.array([unit(a) @ unit(c) - unit(a) @ unit(b) for a, b, c in zip(s, p, n)])  # noqa: B905
        found["train/delta"] = divergence_reference(
            delta,
            labels,
            settings.get("delta_temperature", 1.0),
            settings.get("delta_order", "as_sampled"),
        )
    blocks = settings.get("patches", 2)
    if settings.get("lambda_ps", 1.0) and blocks > 1:
        same = settings.get("ps_scope") == "batch"
        first, second = draw_permutations(6, blocks, method.draws(0), same)
        assert (len(first.unique(dim=0)) == 1) == same

        def shuffled(images: torch.Tensor, permutations: torch.Tensor) -> np.ndarray:
            pairs = zip(images.numpy(), permutations.tolist(), strict=True)
            return np.stack([shuffle_reference(i, p, blocks) for i, p in pairs])

        own = settings.get("ps_negative", "same_photo") == "same_photo"
        found["train/ps"] = triplet_reference(
            embed(shuffled(batch.sketch, first), "sketch"),
            embed(shuffled(batch.photo, first), "photo"),
            embed(shuffled(batch.photo if own else batch.negative, second), "photo"),
            settings.get("ps_margin", 0.3),
        )
    return found


@pytest.mark.parametrize("name", SWITCHES)
def test_training_step_is_the_sum_of_the_papers_losses(make, batch, name):
    settings = SWITCHES[name]
    method = make(**settings)
    loss = method.training_step(batch, 0)
    expected = parts(method, batch, settings)
    total = method.logged.pop("train/loss")
    assert total is loss
    assert method.logged.keys() == expected.keys()  # nothing is computed in vain
    for part, value in expected.items():
        assert method.logged[part].item() == pytest.approx(value, rel=1e-3, abs=1e-5), part
    weights = {
        "train/cls_sketch": settings.get("lambda_cls", 0.5),
        "train/cls_photo": settings.get("lambda_cls", 0.5),
        "train/delta": settings.get("lambda_delta", 0.1),
    }
    expected_total = sum(weights.get(part, 1.0) * value for part, value in expected.items())
    assert loss.item() == pytest.approx(expected_total, rel=1e-4, abs=1e-5)


def test_the_switches_change_what_they_are_about(make, batch):
    """So that the comparison above does not compare what is the same anyway."""

    def logged(**settings: Any) -> dict[str, float]:
        torch.manual_seed(0)  # the same prompts
        # At its own weight L_delta changes less of the sum than fp32 resolves.
        method = make(lambda_delta=10.0, **settings)
        method.training_step(batch, 0)
        return {part: value.item() for part, value in method.logged.items()}

    plain = logged()
    for settings, changed in (
        ({"negatives": "batch_hard"}, {"train/hard", "train/delta"}),
        ({"ps_negative": "hard_negative"}, {"train/ps"}),
        ({"ps_scope": "batch"}, {"train/ps"}),
        ({"patches": 4}, {"train/ps"}),
        ({"delta_order": "sorted"}, {"train/delta"}),
        ({"delta_temperature": 0.1}, {"train/delta"}),
        ({"cls_temperature": 0.05}, {"train/cls_sketch", "train/cls_photo"}),
    ):
        found = logged(**settings)
        assert {p for p, v in found.items() if v != plain[p]} == {*changed, "train/loss"}, settings


def test_hard_negatives_are_not_farther_than_sampled_ones(make, batch):
    values = []
    for negatives in ("random_same_class", "batch_hard"):
        torch.manual_seed(0)
        method = make(negatives=negatives, lambda_ps=0)
        method.training_step(batch, 0)
        values.append(method.logged["train/hard"].item())
    assert values[1] > values[0]


@pytest.mark.parametrize("patches", [0, 33])
def test_blocks_without_pixels_are_refused(make, patches):
    with pytest.raises(SketchClipError, match=r"patches.*(at least 1|at most the 32 pixels)"):
        make(patches=patches)


def test_draws_depend_on_seed_epoch_batch_and_rank(make, monkeypatch):
    method = make()

    def draw(seed: int = 0, epoch: int = 0, batch: int = 0, rank: int = 0) -> tuple[float, ...]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        method.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        return tuple(torch.rand(3, generator=method.draws(batch)).tolist())

    keys = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 1, 0)]
    draws = [draw(*key) for key in keys]
    assert len(set(draws)) == len(keys)
    torch.rand(7)  # no other randomness plays a part
    assert [draw(*key) for key in keys] == draws


def test_gathering_from_one_process_changes_nothing(run):
    states = []
    for gather in ("false", "true"):
        cli = run(
            *("fit", "--trainer.max_epochs", "1", "--model.delta_gather", gather),
            *("--data.batch_size", "6", "--data.classes_per_batch", "2"),
            *("--model.lambda_delta", "10", "--model.prompt_lr", "1e-2"),
            method="FineGrainedPromptLearning",
        )
        assert cli.trainer.callback_metrics["train/delta"] > 0
        states.append([p.detach() for p in cli.model.parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
