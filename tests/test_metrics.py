"""Retrieval metrics against brute force."""

import itertools
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import retrieval_average_precision

from sketchclip.errors import SketchClipError
from sketchclip.metrics import CategoryRetrieval, chance_average_precision, retrieval_scores
from sketchclip.metrics.functional import cosine_scores, rank_relevance


def brute_force(scores, relevant, k=None):
    """AP@k strict and P@k of one query, in loops over Python numbers."""
    # sorted() is stable: equal scores keep the gallery's order.
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    cut = len(order) if k is None else k
    hits, total = 0, 0.0
    for rank, item in enumerate(order[:cut], start=1):
        if relevant[item]:
            hits += 1
            total += hits / rank
    return total / min(sum(relevant), cut), hits / cut


@st.composite
def problems(draw):
    """Scores on a coarse grid (ties are common, most are negative) and labels."""
    n_queries, n_gallery = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    low, high = draw(st.sampled_from([(-4, -1), (-4, 4), (0, 0), (1, 4)]))
    scores = draw(
        hnp.arrays(np.int64, (n_queries, n_gallery), elements=st.integers(low, high))
    ).astype(np.float32)
    gallery = draw(hnp.arrays(np.int64, n_gallery, elements=st.integers(0, 2)))
    queries = draw(hnp.arrays(np.int64, n_queries, elements=st.sampled_from(sorted(set(gallery)))))
    return scores, queries, gallery


def evaluate(scores, queries, gallery, ks, chunk=512):
    # The states are row numbers: the score function looks the scores up.
    table = torch.from_numpy(scores)
    return retrieval_scores(
        torch.arange(len(queries)),
        torch.from_numpy(queries),
        torch.arange(len(gallery)),
        torch.from_numpy(gallery),
        precision_k=ks,
        map_k=ks,
        score=lambda q, g: table[q][:, g],
        chunk=chunk,
    )


@settings(deadline=None, max_examples=100)
@given(problems(), st.integers(1, 15), st.integers(1, 6))
def test_all_metrics_equal_brute_force(problem, k, chunk):
    scores, queries, gallery = problem
    result = evaluate(scores, queries, gallery, [k], chunk)
    for row in range(len(queries)):
        relevant = (gallery == queries[row]).tolist()
        everything, _ = brute_force(scores[row].tolist(), relevant)
        ap, _ = brute_force(scores[row].tolist(), relevant, k)
        order = sorted(range(len(gallery)), key=lambda i: -scores[row][i])
        assert result["mAP@all"][row].item() == pytest.approx(everything, abs=1e-12)
        assert result[f"mAP@{k}"][row].item() == pytest.approx(ap, abs=1e-12)
        assert result[f"P@{k}"][row].item() == pytest.approx(
            sum(relevant[i] for i in order[:k]) / k, abs=1e-12
        )


def test_strict_divides_by_the_smaller_of_relevant_and_k():
    # Relevant at ranks 1 and 3 of 4: S_2 = 1, S_3 = 1 + 2/3; R = 2.
    scores, labels = np.array([[4, 3, 2, 1]], np.float32), np.array([1, 0, 1, 0])
    result = evaluate(scores, np.array([1]), labels, [1, 2, 3, 100])
    expected = {1: 1.0, 2: 0.5, 3: (1 + 2 / 3) / 2, 100: (1 + 2 / 3) / 2}
    assert {k: result[f"mAP@{k}"].item() for k in expected} == pytest.approx(expected)
    assert result["P@100"].item() == pytest.approx(0.02)


@settings(deadline=None, max_examples=40)
@given(problems())
def test_agrees_with_torchmetrics_on_positive_distinct_scores(problem):
    scores, queries, gallery = problem
    # torchmetrics ignores scores <= 0 and breaks ties its own way: rank the scores instead.
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    positive = (scores.shape[1] - ranks).astype(np.float32)
    ours = evaluate(scores, queries, gallery, [1])["mAP@all"]
    for row, value in enumerate(ours):
        theirs = retrieval_average_precision(
            torch.from_numpy(positive[row]), torch.from_numpy(gallery == queries[row])
        )
        assert value.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_only_negative_scores_rank_like_any_others():
    scores = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    queries, gallery = np.arange(6) % 4, np.arange(20) % 4
    first, second = (evaluate(s, queries, gallery, [5]) for s in (scores, scores - 100))
    assert first["mAP@all"].mean() > 0
    for name in first:
        torch.testing.assert_close(first[name], second[name])


def test_ties_keep_the_order_of_the_gallery():
    relevant = torch.tensor([[True, False, False, True]])
    assert rank_relevance(torch.zeros(1, 4), relevant).tolist() == relevant.tolist()
    # Large enough that an unstable sort would show.
    many = torch.arange(5000)[None] % 7 == 0
    assert torch.equal(rank_relevance(torch.full((1, 5000), -0.5), many), many)


def test_cosine_scores_ignore_length_and_stay_fp32():
    a, b = torch.randn(3, 5), torch.randn(4, 5)
    expected = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(cosine_scores(3 * a, b), expected)
    assert cosine_scores(a.half(), b.half()).dtype == torch.float32


@pytest.fixture
def banks():
    generator = torch.Generator().manual_seed(0)
    return {
        side: (
            torch.randn(count, 6, generator=generator),
            torch.arange(count) % 3,
            torch.arange(count),
        )
        for side, count in (("query", 13), ("gallery", 29))
    }


def compute(banks, batch, order=None, repeat=()):
    metric = CategoryRetrieval(precision_k=[1, 5], map_k=[4])
    for side, (states, labels, index) in banks.items():
        rows = index if order is None else torch.randperm(len(index), generator=order)
        rows = torch.cat([rows, torch.tensor(repeat, dtype=torch.long)])
        for part in rows.split(batch):
            metric.update(states[part], labels[part], index[part], side)
    return metric.compute()


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batch_size_and_order_change_nothing(banks, batch):
    expected = compute(banks, 7)
    assert compute(banks, batch, torch.Generator().manual_seed(batch)) == expected


def test_padding_duplicates_are_removed_by_index(banks):
    # A distributed sampler repeats the first images to make the shares even.
    assert compute(banks, 5, repeat=[0, 1, 2]) == compute(banks, 5)


def test_equal_images_with_different_index_all_count(banks):
    states, labels, _ = banks["gallery"]
    doubled = torch.cat([states, states[:9]]), torch.cat([labels, labels[:9]]), torch.arange(38)
    assert compute({**banks, "gallery": doubled}, 50) != compute(banks, 50)


def test_result_is_the_mean_over_queries(banks):
    result = compute(banks, 50)
    per_query = retrieval_scores(*banks["query"][:2], *banks["gallery"][:2], [1, 5], [4])
    for name, values in per_query.items():
        assert result[name].item() == pytest.approx(values.mean().item(), abs=1e-6)


def test_reset_forgets(banks):
    metric = CategoryRetrieval(precision_k=[1, 5], map_k=[4])
    for side, bank in banks.items():
        metric.update(-bank[0], *bank[1:], side)
    metric.reset()
    for side, bank in banks.items():
        metric.update(*bank, side)
    assert metric.compute() == compute(banks, 50)


def test_empty_gallery_is_an_error():
    with pytest.raises(SketchClipError, match="2 sketches and 0 photos"):
        evaluate(np.zeros((2, 0), np.float32), np.array([0, 1]), np.zeros(0, np.int64), [1])


@pytest.mark.parametrize("gallery", range(1, 8))
def test_chance_equals_the_mean_over_all_rankings(gallery):
    for relevant in range(1, gallery + 1):
        total = 0.0
        # Only which ranks are relevant matters: all choices of R ranks, equally likely.
        for ranks in itertools.combinations(range(1, gallery + 1), relevant):
            total += sum((i + 1) / rank for i, rank in enumerate(ranks)) / relevant
        mean = total / math.comb(gallery, relevant)
        assert chance_average_precision(relevant, gallery) == pytest.approx(mean, abs=1e-12)


def test_chance_of_a_run_weighs_classes_by_their_queries(banks):
    result = compute(banks, 50)
    galleries = banks["gallery"][1].bincount()
    weights = banks["query"][1].bincount() / 13
    expected = sum(
        float(w) * chance_average_precision(int(r), 29)
        for w, r in zip(weights, galleries, strict=True)
    )
    assert result["chance_mAP@all"].item() == pytest.approx(expected, abs=1e-6)


def test_query_without_any_relevant_photo_is_an_error():
    with pytest.raises(SketchClipError, match=r"class ids \[2\] have no photo"):
        evaluate(np.zeros((2, 3), np.float32), np.array([0, 2]), np.array([0, 1, 0]), [1])
