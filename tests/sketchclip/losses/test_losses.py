"""Losses against independent NumPy references."""

import math
from collections.abc import Callable

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.batch import TrainingBatch
from sketchclip.losses import cosine_distance, text_classification_loss, triplet_loss
from tests.helpers.references import classification_reference, triplet_reference

# Away from zero vectors, whose direction is undefined.
COORDINATES = st.floats(0.125, 8, width=32) | st.floats(-8, -0.125, width=32)


def vectors(rows: int, dim: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, (rows, dim), elements=COORDINATES)


@st.composite
def triplets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, dim = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    return tuple(draw(vectors(rows, dim)) for _ in range(3))  # type: ignore[return-value]


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, classes, dim = (draw(st.integers(1, 5)) for _ in range(3))
    labels = hnp.arrays(np.int64, rows, elements=st.integers(0, classes - 1))
    return draw(vectors(rows, dim)), draw(vectors(classes, dim)), draw(labels)


@settings(deadline=None, max_examples=60)
@given(triplets(), st.floats(0, 1))
def test_triplet_loss_is_the_papers_formula(data, margin):
    a, p, n = data
    ours = triplet_loss(*(torch.from_numpy(x) for x in data), margin=margin)
    assert ours.item() == pytest.approx(triplet_reference(a, p, n, margin), abs=1e-5)


def test_margin_of_the_paper_is_the_default():
    anchor = torch.tensor([[1.0, 0.0]])
    assert triplet_loss(anchor, anchor, anchor).item() == pytest.approx(0.3)


def test_distance_does_not_depend_on_length():
    a, b = torch.randn(4, 8), torch.randn(4, 8)
    torch.testing.assert_close(cosine_distance(a, b), cosine_distance(7 * a, 0.1 * b))


@settings(deadline=None, max_examples=60)
@given(classified(), st.sampled_from([1.0, 4.605, 20.0, 100.0]))
def test_classification_loss_is_a_softmax_over_the_whole_bank(data, scale):
    images, bank, labels = data
    ours = text_classification_loss(*(torch.from_numpy(x) for x in data), scale=scale)
    expected = classification_reference(images, bank, labels, scale)
    assert ours.item() == pytest.approx(expected, rel=1e-4, abs=2e-3 * scale / 100)


@pytest.mark.parametrize("loss", [triplet_loss, text_classification_loss])
def test_losses_are_computed_in_fp32_under_half_precision(loss: Callable[..., torch.Tensor]):
    inputs = [torch.randn(3, 8).bfloat16() for _ in range(2)]
    last = torch.tensor([0, 1, 2]) if loss is text_classification_loss else inputs[0]
    value = loss(*inputs, last)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(*(x.float() for x in inputs), last))


@pytest.mark.parametrize(
    ("temperature", "scale"), [("clip", 100.0), ("raw", math.log(100.0)), (0.05, 20.0)]
)
def test_temperature_switch(make_method, temperature, scale):
    # OpenAI's models sit at CLIP's cap, ln 100; random ones start at ln(1 / 0.07).
    method = make_method(cls_temperature=temperature)
    method.clip.logit_scale.data.fill_(math.log(100.0))
    assert float(method.logit_scale(temperature)) == pytest.approx(scale, rel=1e-5)


@pytest.mark.parametrize(("temperature", "scale"), [("clip", 100.0), ("raw", 4.60517), (0.1, 10.0)])
def test_training_step_is_the_sum_of_the_papers_losses(
    make_method, monkeypatch, temperature, scale
):
    names = [f"class {i}" for i in range(7)]
    method = make_method(class_names=names, cls_temperature=temperature, lambda_cls=0.5)
    method.clip.logit_scale.data.fill_(math.log(100.0))
    method.text_head.prepare(method.clip, method.backbone, names)
    logged: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(method, "log_dict", lambda values, **_: logged.update(values))
    monkeypatch.setattr(method, "log", lambda *_, **__: None)
    label = torch.tensor([0, 6])  # the batch holds 2 of the 7 classes; the softmax runs over 7
    batch = TrainingBatch(*torch.randn(3, 2, 3, 32, 32), label)
    loss = method.training_step(batch, 0)

    with torch.no_grad():
        s = method.sketch_tower(batch.sketch).numpy()
        p, n = (method.photo_tower(x).numpy() for x in (batch.photo, batch.negative))
    bank = method.text_bank().numpy()
    assert bank.shape == (7, 32)
    cls_s, cls_p = (classification_reference(x, bank, label.numpy(), scale) for x in (s, p))
    triplet = triplet_reference(s, p, n, 0.3)
    assert logged["train/triplet"].item() == pytest.approx(triplet, abs=1e-5)
    assert logged["train/cls_sketch"].item() == pytest.approx(cls_s, rel=1e-4)
    assert logged["train/cls_photo"].item() == pytest.approx(cls_p, rel=1e-4)
    assert loss.item() == pytest.approx(triplet + 0.5 * (cls_s + cls_p), rel=1e-4)


def test_without_classification_loss_no_text_is_needed(make_method, monkeypatch):
    method = make_method(lambda_cls=0)
    monkeypatch.setattr(method, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(method, "log", lambda *_, **__: None)
    images = torch.randn(3, 2, 3, 32, 32)
    loss = method.training_step(TrainingBatch(*images, torch.tensor([0, 1])), 0)
    assert method.text_head is None
    assert torch.isfinite(loss)
