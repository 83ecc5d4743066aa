"""MARL and MCC: what their papers' equations imply, and settings that do not go together."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from data_modules.batch import ImageBatch, TrainingBatch
from sketchclip.checkpoint import own_names
from sketchclip.clip.mini import MINI_NAME
from sketchclip.clip.text import encode_classes
from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import capacity_loss, mean_cosine
from sketchclip.methods import MARL, MCC, ZeroShotPromptLearning
from sketchclip.methods.capacity import Capacity

NAMES = ["cat", "hot-air_balloon", "dog"]
SIDES = torch.tensor([0, 1, 1, 0])
LABELS = torch.tensor([0, 1, 0, 2])


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def marl(**settings: Any) -> Any:
    torch.manual_seed(0)
    method: Any = MARL(NAMES, MINI_NAME, **settings)
    method.build_training_parts()
    method._trainer = SimpleNamespace(world_size=1, datamodule=None)
    words = ("sketch", "photo") if settings.get("captions") == "own" else ("photo",)
    names = [name.replace("_", " ") for name in NAMES]
    method.text.prepare(MINI_NAME, [f"a {word} of a {name}." for word in words for name in names])
    method.log_losses = lambda losses, size: method.__dict__.update(losses=losses)
    return method


def singles(images: torch.Tensor | None = None) -> ImageBatch:
    found = drawn(4, 3, 56, 56) if images is None else images
    return ImageBatch(found, LABELS, torch.arange(4), side=SIDES)


def numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: list[int]) -> float:
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("captions", ["shared", "own"])
def test_a_step_of_marl_is_the_equation(captions: str) -> None:
    method = marl(captions=captions, mode_std=0.3, lambda_orthogonal=0.5)
    batch = singles()
    loss = float(method.training_step(batch, 0).detach())
    i = unit(numpy(method.clip.visual(batch.image)))
    sentences = {s: f"a {s} of a {{}}." for s in ("sketch", "photo")}
    bank = {
        s: numpy(encode_classes(method.clip, MINI_NAME, NAMES, t)) for s, t in sentences.items()
    }
    of_side = ["sketch" if captions == "own" and side == 0 else "photo" for side in SIDES]
    t = np.stack([bank[side][label] for side, label in zip(of_side, LABELS, strict=True)])
    m = numpy(method.modes)
    own_i = [1 if side == 0 else 0 for side in SIDES]
    own_t = [3 if captions == "shared" or side == 0 else 2 for side in SIDES]
    weight, bias = numpy(method.mode_classifier.weight), numpy(method.mode_classifier.bias)
    similar = np.exp(2.6592) * i @ t.T
    pairs = list(range(4))
    clip = (cross_entropy(similar, pairs) + cross_entropy(similar.T, pairs)) / 2
    s = unit(i + t)
    semantic = reconstruct = 0.0
    told: list[float] = []
    for values, own, goal, goal_of in ((i, own_i, t, own_t), (t, own_t, i, own_i)):
        left = values - m[own]
        semantic += float((1 - (unit(left) * s).sum(1)).mean())
        every = unit(left[:, None] + m)
        reconstruct += float((1 - (every[pairs, goal_of] * goal).sum(1)).mean())
        others = [(b, k) for b in pairs for k in range(4) if k != own[b]]
        logits = np.stack([every[b, k] @ weight.T + bias for b, k in others])
        told.append(cross_entropy(logits, [k for _, k in others]))
    orthogonal = float(np.abs(s[:, None] * m).sum(-1).mean())
    expected = clip + 0.1 * semantic + 0.1 * np.mean(told) + 0.02 * reconstruct + 0.5 * orthogonal
    assert loss == pytest.approx(expected / 1.72, rel=1e-4)


def test_identities_of_marl() -> None:
    method = marl()
    with torch.no_grad():
        method.modes.copy_(drawn(1, method.dim).expand(4, -1))
    images = drawn(3, 3, 56, 56)
    plain = normalize(method.clip.visual(images), dim=-1)
    torch.testing.assert_close(method.embed(images, "sketch"), plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(method.embed(images, "photo"), plain, atol=1e-6, rtol=0)
    method.training_step(singles(), 0)
    logged = {name: float(value) for name, value in method.losses.items()}
    i = normalize(method.photo_tower(singles().image), dim=-1)
    t = normalize(method.text(LABELS), dim=-1)
    cosine = (i * t).sum(1)
    assert logged["train/reconstruct"] == pytest.approx(float(2 * (1 - cosine).mean()), abs=1e-5)
    with torch.no_grad():
        for parameter in (method.modes, *method.mode_classifier.parameters()):
            parameter.zero_()
    method.training_step(singles(drawn(1, 3, 56, 56).expand(4, -1, -1, -1)), 0)
    assert float(method.losses["train/mode"]) == pytest.approx(1.386294, abs=1e-6)
    i = normalize(method.photo_tower(drawn(1, 3, 56, 56)), dim=-1)
    half = ((1 + (i * t).sum(1)) / 2).sqrt()
    semantic = float(2 * (1 - half).mean())
    assert float(method.losses["train/semantic"]) == pytest.approx(semantic, abs=1e-5)


def test_one_caption_and_equal_images_leave_the_contrast_at_log_b() -> None:
    method = marl()
    batch = singles(drawn(1, 3, 56, 56).expand(4, -1, -1, -1))
    batch.label = torch.zeros(4, dtype=torch.long)
    method.training_step(batch, 0)
    assert float(method.losses["train/clip"]) == pytest.approx(np.log(4), abs=1e-5)


def test_marl_has_two_rates_and_one_vision_tower() -> None:
    method = marl()
    old, new = method.parameter_groups()
    assert (old["lr"], new["lr"]) == (5e-8, 5e-3)
    width = method.dim
    assert [tuple(p.shape) for p in new["params"]] == [(4, width), (4, width), (4,)]
    assert {id(p) for p in old["params"]} >= {id(p) for p in method.text.parameters()}
    assert method.sketch_tower.visual is method.photo_tower.visual
    kept = own_names(method)
    assert "text.clip.logit_scale" in kept
    assert not [name for name in kept if name.startswith("clip.")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"captions": "own", "modes": 3}, "captions=own.*model.modes=3"),
        ({"lambda_mode": -1.0}, "lambda_mode.*expected at least 0"),
        (
            dict.fromkeys(["lambda_clip", "lambda_semantic", "lambda_mode"], 0.0)
            | {"lambda_reconstruct": 0.0},
            "one above",
        ),
    ],
)
def test_settings_of_marl_that_do_not_go_together(settings: Any, message: str) -> None:
    with pytest.raises(SketchClipError, match=message):
        MARL(NAMES, MINI_NAME, **settings)


def test_identities_of_the_capacity() -> None:
    assert float(mean_cosine(torch.eye(8))) == pytest.approx(0.125)
    equal = torch.ones(4, 1).div(1).requires_grad_()
    loss = capacity_loss(mean_cosine(equal), 1.0, 3.0)
    loss.backward()
    assert (float(loss), equal.grad.abs().max().item()) == (0.0, 0.0)
    cosine = torch.tensor(0.3)
    official = capacity_loss(cosine, 0.1, 0.5, squared=True)
    assert float(official) == pytest.approx(0.25 * 0.2)


def test_a_step_of_mcc_is_the_equation() -> None:
    torch.manual_seed(0)
    capacity = Capacity(0.1, 0.2, sketch_weight=2.0, photo_weight=0.5)
    encoder = TimmEncoder("test_vit", "random", frozen=False, size=32)
    method: Any = MCC(NAMES, capacity, encoder)
    method.build_training_parts()
    method.log_losses = lambda losses, size: None
    images = drawn(3, 4, 3, 32, 32)
    batch = TrainingBatch(*images, LABELS)
    s, p, n = (unit(numpy(method.encoder(part, "photo"))) for part in images)
    triplet = np.maximum(0, 0.3 + (s * n).sum(1) - (s * p).sum(1)).mean()
    distances = abs((s @ s.T).mean() - 0.1), abs((p @ p.T).mean() - 0.2)
    expected = triplet + 2.0 * distances[0] + 0.5 * distances[1]
    assert float(method.training_step(batch, 0).detach()) == pytest.approx(expected, rel=1e-5)
    assert not [name for name in own_names(method) if name.startswith("classes")]


def test_the_capacity_is_an_option_of_the_paper_s_method() -> None:
    methods = [
        ZeroShotPromptLearning(NAMES, MINI_NAME, lambda_cls=0.0, capacity=capacity)
        for capacity in (None, Capacity(0.0, 0.1), Capacity(0.0, 0.1, 0.0, 0.0))
    ]
    batch = TrainingBatch(*drawn(3, 4, 3, 56, 56), LABELS)
    logged: list[dict[str, torch.Tensor]] = []
    for method in methods:
        method.load_state_dict(methods[0].state_dict(), strict=False)
        method.log_losses = lambda losses, size: logged.append(losses)
        method.training_step(batch, 0)
    plain, held, watched = logged
    s, p = (
        methods[0].embed(x, side) for x, side in ((batch.sketch, "sketch"), (batch.photo, "photo"))
    )
    cosines = [float(mean_cosine(normalize(x, dim=-1))) for x in (s, p)]
    assert float(held["train/cosine_sketch"]) == pytest.approx(cosines[0], rel=1e-5)
    term = cosines[0] + abs(cosines[1] - 0.1)
    added = float(held["train/loss"] - plain["train/loss"])
    assert added == pytest.approx(term, rel=1e-5)
    assert float(watched["train/loss"]) == pytest.approx(float(plain["train/loss"]))
    assert float(watched["train/cosine_photo"]) == pytest.approx(cosines[1], rel=1e-5)
