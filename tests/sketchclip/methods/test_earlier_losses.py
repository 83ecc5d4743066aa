"""Losses without numbers of an original code, against NumPy written from the equations."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from data_modules.batch import TrainingBatch
from sketchclip.encoders import TimmEncoder
from sketchclip.losses import kl_normal
from sketchclip.methods import CAAE, CVAE, IIAE

LABELS = torch.tensor([0, 0, 1, 2])


def batch(width: int) -> TrainingBatch:
    noise = torch.Generator().manual_seed(3)
    sketch, photo = torch.randn(2, len(LABELS), width, generator=noise)
    return TrainingBatch(sketch, photo, None, LABELS, features=True)


def losses(method: Any) -> tuple[dict[str, float], TrainingBatch]:
    """Logged losses of one step in evaluation mode: no dropout, BatchNorm as it was built."""
    torch.manual_seed(0)
    method.build_training_parts()
    method.eval()
    logged: dict[str, float] = {}
    method.log_losses = lambda found, size: logged.update({n: float(v) for n, v in found.items()})
    given = batch(method.encoder.dim)
    loss = method.training_step(given, 0)
    assert logged["train/loss"] == pytest.approx(float(loss))
    return logged, given


def encoder() -> TimmEncoder:
    return TimmEncoder("test_resnet", "random", frozen=True)


def numpy(layers: Any, x: np.ndarray) -> np.ndarray:
    """A Sequential of plain layers in evaluation mode, fp64."""
    for layer in layers:
        name = type(layer).__name__
        value = {n: v.detach().double().numpy() for n, v in layer.state_dict().items()}
        if name == "Sequential":
            x = numpy(layer, x)
        elif name == "Linear":
            x = x @ value["weight"].T + value["bias"]
        elif name == "BatchNorm1d":
            spread = np.sqrt(value["running_var"] + layer.eps)
            x = (x - value["running_mean"]) / spread * value["weight"] + value["bias"]
        elif name in ("ReLU", "LeakyReLU"):
            x = np.where(x > 0, x, getattr(layer, "negative_slope", 0.0) * x)
        else:
            assert name == "Dropout", name
    return x


def gaussian(layers: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    *body, head = layers
    x = numpy(body, x)
    mean, logvar = numpy([head.mean], x), numpy([head.logvar], x)
    return (np.tanh(mean), np.tanh(logvar)) if head.bounded else (mean, np.minimum(logvar, 9.21))


def divergence(p: Any, q: Any = (0.0, 0.0)) -> float:
    ratio = np.exp(p[1] - q[1])
    each = 0.5 * (ratio + (p[0] - q[0]) ** 2 / np.exp(q[1]) - 1 - p[1] + q[1])
    return float(each.sum(1).mean())


def sampled(distribution: Any, generator: torch.Generator) -> np.ndarray:
    noise = torch.randn(distribution[0].shape, generator=generator).double().numpy()
    return distribution[0] + np.exp(distribution[1] / 2) * noise


def squared(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).mean())


def test_kl_of_a_distribution_with_itself() -> None:
    p = torch.randn(5, 3), torch.randn(5, 3)
    assert float(kl_normal(p, p)) == pytest.approx(0, abs=1e-6)


def test_iiae() -> None:
    method = IIAE(encoder(), dim=4, hidden=8, warmup=0)
    logged, given = losses(method)
    x = {"sketch": given.sketch.double().numpy(), "photo": given.photo.double().numpy()}
    first = {s: numpy(method.first[s], x[s]) for s in x}
    joint = gaussian(method.joint, np.concatenate([first["sketch"], first["photo"]], axis=1))
    generator = method.draws(0)
    shared = sampled(joint, generator)
    rebuilt = own = interaction = 0.0
    for side in x:
        exclusive = gaussian([*method.exclusive[side][0], *method.exclusive[side][1]], x[side])
        code = np.concatenate([shared, sampled(exclusive, generator)], axis=1)
        rebuilt += 10 * squared(numpy(method.decoders[side], code), x[side])
        own += divergence(exclusive)
        interaction += divergence(joint, gaussian(method.shared[side], first[side]))
    total = 1.5 * (rebuilt + own) + 0.5 * divergence(joint) + interaction
    assert logged["train/loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("step", [0, 2000])
def test_the_divergences_of_iiae_grow(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IIAE, "global_step", step)
    logged, _ = losses(IIAE(encoder(), dim=4, hidden=8, warmup=2000))
    parts = {name.removeprefix("train/"): value for name, value in logged.items()}
    grown = 1 - math.exp(-step / 2000)
    expected = 1.5 * (parts["reconstruction"] + grown * parts["exclusive"])
    expected += 0.5 * grown * parts["shared"] + parts["interaction"]
    assert parts["loss"] == pytest.approx(expected)


def test_cvae() -> None:
    method = CVAE(encoder(), latent=5, hidden=8, kl_weight=0.5)
    logged, given = losses(method)
    s, p = given.sketch.double().numpy(), given.photo.double().numpy()
    distribution = gaussian(method.posterior, np.concatenate([p, s], axis=1))
    latent = sampled(distribution, method.draws(0))
    generated = numpy(method.decoder, np.concatenate([latent, s], axis=1))
    total = squared(generated, p) + 10 * squared(numpy(method.back, generated), s)
    total += 0.5 * divergence(distribution)
    assert logged["train/loss"] == pytest.approx(total, rel=1e-5)
    assert generated.min() >= 0


def test_caae() -> None:
    method = CAAE(encoder(), latent=5, hidden=8, lambda_adv=2.0)
    logged, given = losses(method)
    s, p = given.sketch.double().numpy(), given.photo.double().numpy()
    latent = numpy(method.posterior, np.concatenate([p, s], axis=1))
    generated = numpy(method.decoder, np.concatenate([latent, s], axis=1))
    prior = torch.randn(latent.shape, generator=method.draws(0)).double().numpy()
    real, fake = numpy(method.critic, prior), numpy(method.critic, latent)
    critic = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()
    total = squared(generated, p) + 10 * squared(numpy(method.back, generated), s)
    total += 2 * np.log1p(np.exp(-fake)).mean() + critic
    assert logged["train/loss"] == pytest.approx(total, rel=1e-5)


def test_the_critic_and_the_autoencoder_of_caae_do_not_teach_each_other() -> None:
    method = CAAE(encoder(), latent=5, hidden=8)
    method.build_training_parts()
    method.eval()
    method.log_losses = lambda found, size: None  # type: ignore[method-assign]
    given = batch(method.encoder.dim)
    found = []
    for weight in (1.0, 0.0):
        method.hparams.lambda_adv = weight
        method.zero_grad()
        method.training_step(given, 0).backward()
        found.append({n: p.grad for n, p in method.named_parameters() if p.requires_grad})
    for name in found[0]:
        equal = torch.allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-8)
        assert equal is not name.startswith("posterior."), name


def test_a_sketch_is_the_mean_of_what_is_generated_from_it() -> None:
    method = CVAE(encoder(), latent=5, hidden=8, samples=4)
    method.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = method.encoder(images, "sketch").double().numpy()
        found = method.embed(images, "sketch")
    noise = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double().numpy()
    for sketch, embedding in zip(features, found, strict=True):
        inputs = np.concatenate([noise, np.repeat(sketch[None], 4, axis=0)], axis=1)
        expected = numpy(method.decoder, inputs).mean(axis=0)
        np.testing.assert_allclose(embedding.numpy(), expected, rtol=1e-4, atol=1e-5)
