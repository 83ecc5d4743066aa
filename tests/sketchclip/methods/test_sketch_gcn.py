"""SketchGCN, of which no code is public, against NumPy written from its equations."""

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data_modules.batch import TrainingBatch
from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods import SketchGCN
from sketchclip.nn import (
    GraphConvolution,
    LearnedAdjacency,
    gaussian_adjacency,
    normalise_adjacency,
)
from sketchclip.semantics import ClassSemantics
from tests.helpers.references import triplet_reference
from tests.sketchclip.methods.test_earlier_losses import divergence, gaussian, numpy, squared

NAMES = ("cat", "dog", "tree", "car")
LABELS = torch.tensor([0, 0, 1, 3])


class Vectors(ClassSemantics):
    """Class vectors whose squared distances are of the size of t."""

    source = "noise"

    def __init__(self, scale: float = 0.2) -> None:
        super().__init__()
        self.scale = scale

    def vectors(self, class_names: Any) -> Tensor:
        noise = torch.Generator().manual_seed(5)
        return self.scale * torch.randn(len(class_names), 3, generator=noise)


def make(**changes: Any) -> SketchGCN:
    torch.manual_seed(0)
    sizes = {"dim": 5, "hidden": 7, "latent": 2} | changes
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    method = SketchGCN(NAMES, encoder, Vectors(), **sizes)
    method.build_training_parts()
    return method


def step(method: SketchGCN) -> tuple[dict[str, float], TrainingBatch, Tensor]:
    """Logged losses of one step on cached features, its batch, and its loss."""
    logged: dict[str, float] = {}

    def keep(losses: dict[str, Tensor], batch_size: int) -> None:
        logged.update({name: float(value.detach()) for name, value in losses.items()})

    method.log_losses = keep  # type: ignore[method-assign]
    noise = torch.Generator().manual_seed(3)
    shape = len(LABELS), method.encoder.dim
    sketch, photo, negative = (torch.randn(shape, generator=noise) for _ in range(3))
    batch = TrainingBatch(sketch, photo, negative, LABELS, features=True)
    return logged, batch, method.training_step(batch, 0)


def weights_reference(vectors: np.ndarray, t: float) -> np.ndarray:
    """exp(-|w_i - w_j|^2 / t), an entry at a time."""
    size = len(vectors)
    found = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            apart = vectors[i].astype(np.float64) - vectors[j].astype(np.float64)
            found[i, j] = math.exp(-float(apart @ apart) / t)
    return found


def normalised_reference(weights: np.ndarray) -> np.ndarray:
    """D^-1/2 A D^-1/2 by products of matrices."""
    scale = np.diag(weights.sum(axis=1) ** -0.5)
    return scale @ weights @ scale


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    each = [math.log(np.exp(row).sum()) - row[y] for row, y in zip(logits, labels, strict=True)]
    return sum(each) / len(each)


def reference(method: SketchGCN, batch: TrainingBatch, t: float) -> dict[str, float]:
    """Losses of a step in fp64."""
    assert batch.negative is not None
    s = numpy([method.heads["sketch"]], batch.sketch.double().numpy())
    p, n = (
        numpy([method.heads["photo"]], x.double().numpy()) for x in (batch.photo, batch.negative)
    )
    labels = batch.label.numpy()
    v = np.concatenate([s, p])
    w = Vectors().vectors(NAMES).double().numpy()[np.concatenate([labels, labels])]

    x = np.concatenate([v, w], axis=1)
    if method.hparams.adjacency == "learned":
        pairs = [numpy(method.edges.layers, abs(x[i] - x))[:, 0] for i in range(len(x))]
        weights = 1 / (1 + np.exp(-np.array(pairs)))
    else:
        weights = weights_reference(w, t)
    adjacency = normalised_reference(weights)
    g = x
    for weight in method.graph.parameters():
        g = np.maximum(adjacency @ g @ weight.detach().double().numpy().T, 0)
    half = len(labels)

    distribution = gaussian(method.posterior, np.concatenate([w, v], axis=1))
    noise = torch.randn(len(v), method.hparams.latent, generator=method.draws(0)).double().numpy()
    z = distribution[0] + np.exp(distribution[1] / 2) * noise
    rebuilt = numpy(method.decoder, np.concatenate([z, v], axis=1))
    logits = numpy([method.classifier], v)
    return {
        "feature": squared(v[:half], g[:half]) + squared(v[half:], g[half:]),
        "triplet": triplet_reference(s, p, n, method.hparams.margin),
        "cls": cross_entropy(logits[:half], labels) + cross_entropy(logits[half:], labels),
        "semantic": squared(rebuilt, w),
        "divergence": divergence(distribution),
    }


@pytest.mark.parametrize("adjacency", ["gaussian", "learned"])
@pytest.mark.parametrize("t", [0.1, 0.5])
def test_losses_are_those_of_the_equations(adjacency: str, t: float) -> None:
    factors = {
        "lambda_feature": 0.5,
        "lambda_triplet": 2.0,
        "lambda_cls": 3.0,
        "lambda_semantic": 5.0,
        "kl_weight": 0.7,
    }
    method = make(adjacency=adjacency, t=t, **factors)
    logged, batch, loss = step(method)
    expected = reference(method, batch, t)
    assert logged.keys() == {f"train/{name}" for name in (*expected, "loss")}
    for name, value in expected.items():
        assert value > 0
        assert logged[f"train/{name}"] == pytest.approx(value, rel=1e-5), name
    total = sum(f * v for f, v in zip(factors.values(), expected.values(), strict=True))
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)


def test_every_weight_is_1_by_default() -> None:
    logged, _, loss = step(make())
    parts = sum(value for name, value in logged.items() if name != "train/loss")
    assert float(loss.detach()) == pytest.approx(parts, rel=1e-6)


@pytest.mark.parametrize("adjacency", ["gaussian", "learned"])
def test_one_step_reaches_all_that_trains(adjacency: str) -> None:
    method = make(adjacency=adjacency)
    step(method)[2].backward()
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("adjacency", ["gaussian", "learned"])
def test_retrieval_needs_neither_graph_nor_classes(adjacency: str) -> None:
    method = make(adjacency=adjacency).eval()
    images = torch.randn(2, 3, 64, 64)
    before = method.embed(images, "sketch")
    held = {name.partition(".")[0] for name, _ in method.named_parameters()}
    for part in held - {"encoder", "heads"}:
        assert f"{part}." in method.training_only
        delattr(method, part)
    torch.testing.assert_close(method.embed(images, "sketch"), before, rtol=0, atol=0)
    # Both sides start equal, and have a layer each.
    torch.testing.assert_close(method.embed(images, "photo"), before, rtol=0, atol=0)
    with torch.no_grad():
        method.heads["photo"].weight += 1  # type: ignore[operator]
    assert not torch.equal(method.embed(images, "photo"), before)


@pytest.mark.parametrize("t", [0.0, -0.1])
def test_a_width_of_the_graph_must_be_positive(t: float) -> None:
    with pytest.raises(SketchClipError, match="t of SketchGCN: expected more than 0"):
        make(t=t)


COORDINATES = st.floats(-2, 2, width=32)


@st.composite
def nodes(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    return draw(hnp.arrays(np.float32, shape, elements=COORDINATES))


@settings(deadline=None, max_examples=60)
@given(nodes(), st.floats(0.05, 4))
def test_adjacency_is_that_of_the_equations(vectors: np.ndarray, t: float) -> None:
    found = gaussian_adjacency(torch.from_numpy(vectors), t)
    expected = weights_reference(vectors, t)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-6)
    normalised = normalise_adjacency(found).double().numpy()
    np.testing.assert_allclose(normalised, normalised_reference(expected), rtol=1e-3, atol=1e-6)
    assert abs(np.linalg.eigvalsh(normalised)).max() <= 1 + 1e-5


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, st.integers(1, 400), elements=COORDINATES),
    st.integers(2, 40),
    st.floats(0.01, 4),
)
def test_equal_vectors_average_their_nodes(vector: np.ndarray, size: int, t: float) -> None:
    vectors = torch.from_numpy(vector).expand(size, -1)
    adjacency = normalise_adjacency(gaussian_adjacency(vectors, t))
    features = torch.randn(size, 3, generator=torch.Generator().manual_seed(size))
    mean = features.mean(0).expand(size, -1)
    torch.testing.assert_close(adjacency @ features, mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [4, 64])  # cdist takes another way from 26 rows on
def test_far_classes_do_not_mix(size: int) -> None:
    vectors = torch.eye(4).repeat_interleave(size // 4, 0)
    found = normalise_adjacency(gaussian_adjacency(vectors, 0.1))
    own = torch.block_diag(*[torch.full((size // 4, size // 4), 4 / size)] * 4)
    torch.testing.assert_close(found, own, rtol=1e-5, atol=1e-8)


def test_the_adjacency_of_half_precision_is_fp32() -> None:
    vectors = torch.randn(5, 8).bfloat16()
    found = normalise_adjacency(gaussian_adjacency(vectors, 0.1))
    assert found.dtype == torch.float32
    expected = normalise_adjacency(gaussian_adjacency(vectors.float(), 0.1))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_learned_weights_are_symmetric_and_between_0_and_1() -> None:
    torch.manual_seed(0)
    found = LearnedAdjacency(6, 8)(torch.randn(5, 6)).detach()
    assert torch.equal(found, found.T)
    assert 0 < found.min() < found.max() < 1


def test_a_graph_layer_of_no_edges_is_a_linear_map_and_relu() -> None:
    layer, x = GraphConvolution(4, 3), torch.randn(5, 4)
    torch.testing.assert_close(layer(x, torch.eye(5)), (x @ layer.map.weight.T).relu())
