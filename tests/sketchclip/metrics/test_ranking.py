"""Ranks of relevant photos against a stable argsort, on the floats that are hardest to order."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchclip.metrics import fast_ranking
from sketchclip.metrics.fast_ranking import Ranker
from sketchclip.metrics.ranking import Groups, class_ranks

BIG = np.finfo(np.float32).max
SMALL = np.finfo(np.float32).smallest_subnormal
PLAIN = [0.0, -0.0, 1.0, -1.0, 0.3, -0.3, 1e-30, -1e-30, 1e30, -1e30, BIG, -BIG]
# Each with its neighbours in the last bit, which is where the relevance bit goes.
FLOATS = np.array(
    [
        *PLAIN,
        *(np.nextafter(np.float32(x), np.float32(BIG)) for x in PLAIN),
        *(np.nextafter(np.float32(x), np.float32(-BIG)) for x in PLAIN),
        *(n * SMALL for n in (-3, -2, -1, 1, 2, 3)),
    ],
    np.float32,
)


def by_argsort(distances, query_labels, gallery_labels):
    """The definition: order the gallery, equal distances as they come, and look for the class."""
    ranks = []
    for row, label in zip(distances, query_labels, strict=True):
        order = np.argsort(row, kind="stable")
        ranks.extend(np.flatnonzero(gallery_labels[order] == label) + 1)
    return ranks


def ranked(distances, query_labels, gallery_labels):
    """Ranks from the product."""
    groups = Groups.of(query_labels, gallery_labels)
    return Ranker(groups).ranks(np.ascontiguousarray(distances[:, groups.order]), 0).tolist()


@st.composite
def problems(draw, values=FLOATS):
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 24))
    # Few different values make groups of equal and nearly equal scores.
    few = draw(st.lists(st.sampled_from(list(values)), min_size=1, max_size=5))
    distances = draw(
        hnp.arrays(np.float32, shape, elements=st.sampled_from(few), fill=st.nothing())
    )
    labels = st.sampled_from([-7, 0, 3, 10**12])
    gallery = draw(hnp.arrays(np.int64, shape[1], elements=labels))
    queries = draw(hnp.arrays(np.int64, shape[0], elements=labels))
    return distances, queries, gallery


@pytest.mark.parametrize("many", [0, 1, 64])
@pytest.mark.parametrize("cached", [1, 50, 1 << 17])
def test_ranks_equal_those_of_a_stable_argsort(many, cached, monkeypatch):
    monkeypatch.setattr(fast_ranking, "_MANY_TIES", many)
    monkeypatch.setattr(fast_ranking, "_CACHED", cached)

    @settings(deadline=None, max_examples=120)
    @given(problems())
    def check(problem):
        assert ranked(*problem) == by_argsort(*problem)

    check()


@pytest.mark.parametrize("seed", range(5))
def test_long_rows_of_neighbours(seed):
    # Long enough for NumPy's SIMD sort, with hundreds of ambiguous groups in a row.
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 400 if seed % 2 else 40, (9, 3000)).astype(np.int32)
    near = (np.float32(0.25 if seed < 3 else -0.25).view(np.int32) + steps).view(np.float32)
    gallery, queries = rng.integers(0, 4, 3000), rng.integers(0, 4, 9)
    assert ranked(near, queries, gallery) == by_argsort(near, queries, gallery)


def test_both_ways_through_ties_are_taken(monkeypatch):
    # Twenty ambiguous pairs: photo 2i is irrelevant, photo 2i + 1 relevant and equally near.
    distances = np.repeat(np.arange(1, 21, dtype=np.float32), 2)[None]
    gallery = np.tile([0, 1], 20)
    calls = []
    lexsort = np.lexsort
    monkeypatch.setattr(fast_ranking.np, "lexsort", lambda keys: calls.append(0) or lexsort(keys))
    for many, sorts in ((64, 20), (19, 1)):
        monkeypatch.setattr(fast_ranking, "_MANY_TIES", many)
        calls.clear()
        assert ranked(distances, np.array([1]), gallery) == list(range(2, 41, 2))
        assert len(calls) == sorts


def test_zeros_of_both_signs_are_equal():
    row = np.array([[0.0, -0.0, 0.0, -0.0]], np.float32)
    for relevant in range(4):
        gallery = (np.arange(4) == relevant).astype(np.int64)
        assert ranked(row, np.array([1]), gallery) == [relevant + 1]


def test_smallest_negative_number_is_not_lost_among_zeros():
    row = np.array([[-SMALL, -SMALL, 0.0]], np.float32)
    assert ranked(row, np.array([1]), np.array([0, 1, 0])) == [2]
    row = np.array([[0.0, 0.0, -SMALL]], np.float32)
    assert ranked(row, np.array([1]), np.array([0, 1, 0])) == [3]


def test_the_largest_finite_scores_are_not_refused():
    row = np.full((1, 3), BIG, np.float32)
    assert ranked(row, np.array([1]), np.array([0, 1, 1])) == [2, 3]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(4))
def test_nan_and_infinity_are_refused_with_the_row(odd, column):
    distances = np.ones((7, 4), np.float32)
    distances[5, column] = odd
    groups = Groups.of(np.ones(20, np.int64), np.array([0, 1, 1, 0]))
    with pytest.raises(ValueError, match="NaN or infinite") as error:
        Ranker(groups).ranks(distances, 10)
    assert error.value.args[1] == 15


def test_first_is_the_number_of_the_first_query():
    gallery = np.array([0, 0, 1])
    groups = Groups.of(np.array([0, 0, 1, 2]), gallery)
    columns = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], np.float32)
    assert Ranker(groups).ranks(columns.copy(), 2).tolist() == [1]  # classes 1 and 2, none of 2
    assert Ranker(groups).ranks(columns.copy(), 1).tolist() == [2, 3, 1]


@settings(deadline=None, max_examples=150)
@given(problems(), st.data())
def test_rank_in_the_class_equals_that_of_a_stable_argsort(problem, data):
    distances, queries, gallery = problem
    groups = Groups.of(queries, gallery)
    goal, expected = [], []
    for row, label in zip(distances, queries, strict=True):
        mates = np.flatnonzero(gallery == label)
        own = data.draw(st.sampled_from([-1, *mates.tolist()]))
        order = mates[np.argsort(row[mates], kind="stable")].tolist()
        goal.append(-1 if own < 0 else groups.order.tolist().index(own))
        expected.append(0 if own < 0 else order.index(own) + 1)
    columns = torch.from_numpy(distances[:, groups.order])
    assert class_ranks(columns, groups, 0, np.array(goal)).tolist() == expected


def test_groups_list_each_class_in_the_order_of_the_gallery():
    groups = Groups.of(np.array([5, -1, 9]), np.array([5, 9, 5, -1, 9, 9]))
    assert groups.order.tolist() == [3, 0, 2, 1, 4, 5]
    assert (groups.start.tolist(), groups.count.tolist()) == ([1, 0, 3], [2, 1, 3])
    assert Groups.of(np.array([4]), np.array([5, 9])).count.tolist() == [0]
