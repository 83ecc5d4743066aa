"""The definitions of AP@k: hand-worked values, their order, and who else computes which."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import retrieval_average_precision

from sketchclip.metrics import retrieval_scores
from sketchclip.metrics.definitions import (
    DEFINITIONS,
    average_precision_all,
    average_precisions_at,
    definition_names,
    precision_at,
    relevance_at_the_top,
)


def values(relevance, k):
    """Every value of one ranking, given its relevance in rank order."""
    ranks, count = np.flatnonzero(relevance) + 1, np.array([int(np.sum(relevance))])
    top = relevance_at_the_top(ranks, count, min(k, len(relevance)))
    result = {d: float(value[0]) for d, value in average_precisions_at(top, count, k).items()}
    result["all"] = float(average_precision_all(ranks, count)[0])
    return result | {"P": float(precision_at(top, k)[0])}


RANKINGS = st.lists(st.booleans(), min_size=1, max_size=40)


def test_one_ranking_worked_by_hand():
    # R = 3 at ranks 1, 3, 6. S_4 = 1 + 2/3. The envelope at rank 3 is 2/3, and 1 at rank 1.
    found = values([1, 0, 1, 0, 0, 1], 4)
    s = 1 + 2 / 3
    assert found == pytest.approx(
        {"strict": s / 3, "voc": s / 3, "prefix": s / 2, "all": (s + 3 / 6) / 3, "P": 2 / 4}
    )
    # S_2 divides by k, as R is larger.
    assert values([1, 0, 1, 0, 0, 1], 2)["strict"] == pytest.approx(1 / 2)


def test_voc_looks_no_further_than_k():
    # Precision rises from 1/3 to 2/4 and 3/5: at k = 4 the third is not seen yet.
    assert values([0, 0, 1, 1, 1], 4)["voc"] == pytest.approx((1 / 2 + 1 / 2) / 3)
    assert values([0, 0, 1, 1, 1], 5)["voc"] == pytest.approx(3 / 5)


def test_precision_divides_by_k_even_beyond_the_class_and_the_gallery():
    assert values([1, 1, 0], 100)["P"] == pytest.approx(2 / 100)
    assert values([1, 1, 0], 100)["strict"] == 1


@settings(deadline=None)
@given(RANKINGS, st.integers(1, 50))
def test_order_of_the_definitions(relevance, k):
    found, relevant = values(relevance, k), sum(relevance)
    if not relevant:
        assert all(math.isnan(found[name]) for name in (*DEFINITIONS, "all"))
        assert found["P"] == 0
        return
    slack = 1e-12
    assert 0 <= found["strict"] <= found["voc"] + slack
    assert found["strict"] <= found["prefix"] + slack
    assert found["voc"] <= 1 + slack
    if relevant >= k:
        assert found["strict"] <= found["voc"] + slack <= found["P"] + 2 * slack
    if k >= len(relevance):
        assert found["strict"] == pytest.approx(found["all"])
        assert found["prefix"] == pytest.approx(found["all"])


@settings(deadline=None, max_examples=100)
@given(RANKINGS.filter(any), st.integers(1, 50))
def test_torchmetrics_top_k_is_prefix_and_its_default_is_all(relevance, k):
    found = values(relevance, k)
    # It ignores scores <= 0, so these are positive.
    scores = torch.linspace(1, 0.1, len(relevance))
    target = torch.tensor(relevance)
    top = retrieval_average_precision(scores, target, top_k=min(k, len(relevance)))
    everything = retrieval_average_precision(scores, target)
    assert found["prefix"] == pytest.approx(top.item(), abs=1e-6)
    assert found["all"] == pytest.approx(everything.item(), abs=1e-6)


def test_negative_scores_count_where_torchmetrics_ignores_them():
    cosine, target = torch.tensor([0.9, 0.4, -0.1, -0.3, -0.5]), torch.tensor([1, 0, 1, 0, 1])
    # Unit vectors at these angles from the query.
    gallery = torch.stack([cosine, (1 - cosine**2).sqrt()], dim=1)
    query = torch.tensor([[1.0, 0.0]])
    ours = retrieval_scores(query, torch.tensor([1]), gallery, target)["mAP@all"].item()
    assert ours == pytest.approx(0.7556, abs=5e-5)
    shifted = retrieval_average_precision(cosine + 2, target)
    assert ours == pytest.approx(shifted.item(), abs=1e-6)


def simulated(queries=60, classes=21, each=500, mean=1.5, spread=0.3):
    """Rankings of 21 classes of 500 photos whose P@200 is about .55, as in the field's tables."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    found = []
    for query in range(queries):
        relevant = labels == query % classes
        # Queries differ in difficulty, which is what keeps AP below P.
        shift = rng.normal(mean, spread)
        order = np.argsort(-(rng.normal(size=len(labels)) + shift * relevant))
        found.append(values(relevant[order], 200))
    return {name: float(np.mean([f[name] for f in found])) for name in found[0]}


def test_one_simulated_ranking_under_every_definition():
    # The published figures at P@200 = .548 are .394 strict, .400 voc and .718 prefix.
    mean = simulated()
    assert mean["P"] == pytest.approx(0.55, abs=0.08)
    assert mean["strict"] < mean["voc"] < mean["strict"] + 0.05
    assert mean["voc"] < mean["P"] - 0.05
    assert mean["prefix"] > mean["P"] + 0.05
    assert mean["all"] < mean["strict"]


def test_several_queries_do_not_mix():
    ranks, count = np.array([1, 3, 2, 5]), np.array([2, 0, 1, 0, 1])
    alone = [values(np.isin(np.arange(1, 7), r), 3) for r in ([1, 3], [], [2], [], [5])]
    top = relevance_at_the_top(ranks, count, 3)
    together = average_precisions_at(top, count, 3)
    together["all"] = average_precision_all(ranks, count)
    together["P"] = precision_at(top, 3)
    for name, found in together.items():
        np.testing.assert_allclose(found, [a[name] for a in alone], atol=1e-12)


def test_no_relevant_photo_at_all():
    none, count = np.empty(0, np.int64), np.array([0, 0])
    assert np.isnan(average_precision_all(none, count)).all()
    assert not relevance_at_the_top(none, count, 4).any()


def test_names_of_the_definitions():
    assert definition_names([5, 7]) == [
        *("mAP@5", "mAP@5_voc", "mAP@5_prefix"),
        *("mAP@7", "mAP@7_voc", "mAP@7_prefix"),
    ]
