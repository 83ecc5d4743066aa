"""Ranking by counting, the way of a GPU, on CPU tensors: all that sorting gives, ties or not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchclip.errors import SketchClipError
from sketchclip.metrics.counting import BYTES, CountedMetrics
from sketchclip.metrics.functional import retrieval_scores
from sketchclip.metrics.ranking import Groups
from sketchclip.metrics.two_stages import TwoStages
from tests.sketchclip.metrics.test_ranking import BIG, FLOATS, by_argsort, problems

CUTS = {"precision_k": [1, 3, 100], "map_k": [2, 200], "accuracy_k": [1, 2]}


def both(*args, **options):
    """Values by sorting, and by counting in blocks of two queries and of all."""
    wanted = retrieval_scores(*args, **CUTS, **options, counting=False)
    for rows in (2, 1000):
        size = rows * BYTES * len(args[2])
        found = retrieval_scores(*args, **CUTS, **options, counting=True, size=size)
        assert list(found) == list(wanted)
        for name, values in wanted.items():
            torch.testing.assert_close(found[name], values, rtol=1e-12, atol=1e-12, equal_nan=True)
    return wanted


@settings(deadline=None, max_examples=300)
@given(problems(), st.booleans())
def test_ranks_are_those_of_a_stable_argsort(problem, negative):
    distances, queries, gallery = problem
    groups = Groups.of(queries, gallery)
    position = torch.from_numpy(groups.order)
    measure = CountedMetrics(groups, None, (), (), 0, position)
    columns = torch.from_numpy(distances[:, groups.order].copy())
    wanted = np.array(by_argsort(distances, queries, gallery))
    start = 0
    values = measure(columns, 0)
    for query, count in enumerate(groups.count):
        ranks = wanted[start : start + count]
        start += count
        expected = np.mean(np.arange(1, count + 1) / ranks) if count else np.nan
        np.testing.assert_allclose(values["mAP@all"][query], expected, rtol=1e-12)
    assert not values["odd"].any()


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 30),
    st.sampled_from(["cosine", "euclidean", "hamming"]),
    st.integers(0, 4),
    st.integers(0, 2**32 - 1),
)
def test_all_metrics_are_those_of_sorting(q, g, similarity, nearest, seed):
    rng = np.random.default_rng(seed)
    labels = [torch.from_numpy(rng.integers(0, 4, n)) for n in (q, g)]
    # Coarse numbers tie, and products of whole numbers are exact in blocks of any size.
    states = [torch.from_numpy(rng.integers(-2, 3, (n, 3)).astype(np.float32)) for n in (q, g)]
    if similarity == "cosine":
        states = [torch.eye(3)[s[:, 0].long() % 3] * 2.0 for s in states]
    both(states[0], labels[0], states[1], labels[1], similarity=similarity, nearest=nearest)


@pytest.mark.parametrize("kind", ["similarity", "score", "shortlist", "all pairs"])
@pytest.mark.parametrize("seed", range(4))
def test_own_photos_and_scores_of_pairs(kind, seed):
    rng = np.random.default_rng(seed)
    gallery = torch.from_numpy(rng.integers(-2, 3, (29, 3)) + 0.25).float()
    queries = torch.from_numpy(rng.integers(-2, 3, (13, 3)) + 0.25).float()
    classes = torch.from_numpy(rng.permutation(29) % 4)
    targets = torch.from_numpy(rng.permutation(29)[:13])
    labels = classes[targets]
    targets[2] = -1

    def score(q, g):
        return -(q[:, None] - g).abs().sum(-1).round()

    options = {
        "similarity": {"similarity": "euclidean"},
        "score": {"score": score},
        "shortlist": {"score": TwoStages(score, lambda x: x, "euclidean", 5)},
        "all pairs": {"score": TwoStages(score, lambda x: x, "euclidean")},
    }[kind]
    found = both(queries, labels, gallery, classes, targets=targets, nearest=5, **options)
    assert found["rank"].isnan().tolist() == [query == 2 for query in range(13)]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_none_are_named(value):
    def score(q, g):
        scores = q @ g.T
        scores[-1, 1] = value if len(q) < 5 or value == value else torch.nan
        return scores

    states, labels = torch.randn(5, 2), torch.tensor([1, 0, 1, 0, 0])
    for counting in (True, False):
        with pytest.raises(SketchClipError, match=r"scores of query 2 are NaN or infinite"):
            retrieval_scores(
                states, labels, torch.randn(4, 2), labels[:4], score=score, counting=counting
            )


def test_the_ends_of_the_range_keep_their_order():
    distances = torch.tensor([[*FLOATS[np.isfinite(FLOATS)], -0.0, 0.0, BIG, -BIG]])
    labels = np.arange(distances.shape[1])
    groups = Groups.of(np.array([7]), labels)
    measure = CountedMetrics(groups, None, (), (), len(labels), torch.from_numpy(groups.order))
    order = np.argsort(distances[0].numpy(), kind="stable")
    assert measure(distances.clone(), 0)["nearest"][0].tolist() == order.tolist()
