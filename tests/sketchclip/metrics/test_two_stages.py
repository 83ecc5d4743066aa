"""Ranking by a score of pairs behind a shortlist, against sorted lists in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.metrics import InstanceRetrieval, TwoStages, retrieval_scores, score_in_blocks

QUERIES, GALLERY = 6, 40


def states(seed: int) -> tuple[Tensor, Tensor]:
    """Three tokens of four numbers an image, with equal photos among them."""
    draws = torch.Generator().manual_seed(seed)
    queries = torch.randn(QUERIES, 3, 4, generator=draws)
    gallery = torch.randn(GALLERY, 3, 4, generator=draws)
    gallery[30:] = gallery[:10]
    return queries, gallery


def vector(state: Tensor) -> Tensor:
    return state[:, 0]


def rows(queries: Tensor, gallery: Tensor) -> Tensor:
    """Score of matching rows, rounded so that many are equal."""
    return (queries[:, 1:] * gallery[:, 1:]).sum((1, 2)).round()


def score(queries: Tensor, gallery: Tensor) -> Tensor:
    return score_in_blocks(rows, queries, gallery)


def expected_order(queries: Tensor, gallery: Tensor, shortlist: int) -> list[list[int]]:
    found = []
    for query in queries.numpy():
        near = [float(_cosine(query[0], photo[0])) for photo in gallery.numpy()]
        order = sorted(range(len(gallery)), key=lambda i: -near[i])  # stable, as is the next
        first = sorted(
            order[:shortlist],
            key=lambda i: -np.round((query[1:] * gallery[i, 1:].numpy()).sum()),
        )
        found.append(first + order[shortlist:])
    return found


def _cosine(a: np.ndarray, b: np.ndarray) -> np.floating:
    return (a / np.linalg.norm(a)) @ (b / np.linalg.norm(b))


@pytest.mark.parametrize("shortlist", [1, 7, GALLERY, 1000, 0])
@pytest.mark.parametrize("values", [1, 1 << 23])
def test_the_score_orders_the_nearest_and_the_rest_stays_behind(
    shortlist: int, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sketchclip.metrics.two_stages.VALUES", values)
    queries, gallery = states(shortlist)
    ranks = TwoStages(score, vector, shortlist=shortlist).ranks(queries, gallery)
    order = expected_order(queries, gallery, shortlist or GALLERY)
    assert ranks.argsort(1).tolist() == order
    assert ranks.sort(1).values.tolist() == [[float(i) for i in range(GALLERY)]] * QUERIES


def test_all_pairs_are_the_score_alone_and_a_constant_score_the_vectors() -> None:
    queries, gallery = states(0)
    gallery = gallery[:30]  # no equal ones

    def exact(q: Tensor, g: Tensor) -> Tensor:
        return torch.einsum("qid,gid->qg", q, g)

    labels = torch.arange(QUERIES) % 3, torch.arange(30) % 3
    sides = queries, labels[0], gallery, labels[1]
    alone = retrieval_scores(*sides, precision_k=[5], score=exact, nearest=30)
    two = retrieval_scores(*sides, precision_k=[5], score=TwoStages(exact, vector, shortlist=30),
                           nearest=30)  # fmt: skip
    assert alone.keys() == two.keys()
    for name, value in alone.items():
        assert torch.equal(value, two[name]), name

    constant = TwoStages(lambda q, g: torch.zeros(len(q), len(g)), vector)
    vectors = vector(queries), labels[0], vector(gallery), labels[1]
    ret = retrieval_scores(*vectors, nearest=30)
    equal = retrieval_scores(*sides, score=constant, nearest=30)
    assert torch.equal(equal["nearest"], ret["nearest"])
    assert not torch.equal(ret["nearest"], two["nearest"])


def test_ranks_in_a_class_are_those_of_all_its_pairs() -> None:
    queries, gallery = states(3)
    labels, of_photos = torch.arange(QUERIES) % 2, torch.arange(GALLERY) % 2
    own = torch.tensor([20, 21, 22, 23, 24, 25])
    found = retrieval_scores(queries, labels, gallery, of_photos, targets=own,
                             score=TwoStages(score, vector, shortlist=3))  # fmt: skip
    two_stages = expected_order(queries, gallery, 3)
    for at in range(QUERIES):
        mates = (of_photos == labels[at]).nonzero()[:, 0]
        order = expected_order(queries[at : at + 1], gallery[mates], len(mates))[0]
        assert found["rank"][at] == [int(mates[i]) for i in order].index(int(own[at])) + 1
        assert found["rank_all"][at] == two_stages[at].index(int(own[at])) + 1
    whole = torch.tensor([order.index(int(o)) for order, o in zip(two_stages, own, strict=True)])
    assert (found["rank"] > 1 + whole).any()  # the shortlist alone would say another rank


@pytest.mark.parametrize("made", [lambda s: s.fill_(torch.nan), lambda s: s.fill_(torch.inf)])
def test_a_score_that_is_no_number_names_its_query(made: Callable[[Tensor], Tensor]) -> None:
    queries, gallery = states(1)

    def broken(q: Tensor, g: Tensor) -> Tensor:
        scores = score(q, g)
        scores[(q == queries[4]).flatten(1).all(1)] = made(torch.zeros(1))
        return scores

    labels = torch.zeros(QUERIES, dtype=torch.long), torch.zeros(GALLERY, dtype=torch.long)
    with pytest.raises(SketchClipError, match="scores of query 4 are NaN or infinite"):
        retrieval_scores(queries, labels[0], gallery, labels[1],
                         score=TwoStages(broken, vector, shortlist=5))  # fmt: skip


def test_a_metric_keeps_half_precision_and_says_how_it_ranked() -> None:
    queries, gallery = (x.half() for x in states(2))
    two = TwoStages(lambda q, g: score(q.float(), g.float()), vector, shortlist=7, name="rn")
    metric = InstanceRetrieval([5], [5], score=two, dtype=torch.float16)
    for side, given in (("query", queries), ("gallery", gallery)):
        for at in (1, 0):  # out of order
            index = torch.arange(len(given))[at::2]
            metric.update(given[at::2].float(), index % 2, index, side)
    assert metric.query_states[0].dtype == torch.float16
    results = metric.results(first=GALLERY)
    assert results.ranking == "rn@7"
    assert results.first.tolist() == expected_order(queries.float(), gallery.float(), 7)
