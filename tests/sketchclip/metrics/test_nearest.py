"""The first photos of a query are those of a stable sort."""

import numpy as np
import pytest
import torch

from sketchclip.metrics import InstanceRetrieval, retrieval_scores
from sketchclip.metrics.nearest import nearest


@pytest.mark.parametrize(
    ("queries", "gallery", "k"), [(1, 1, 1), (7, 13, 10), (7, 13, 13), (300, 999, 10), (0, 5, 2)]
)
@pytest.mark.parametrize("ties", [True, False])
def test_nearest_is_the_head_of_a_stable_sort(queries, gallery, k, ties):
    generator = np.random.default_rng(gallery)
    scores = generator.normal(size=(queries, gallery)).astype(np.float32)
    scores = np.round(scores) if ties else scores
    order = generator.permutation(gallery)
    expected = np.argsort(scores[:, np.argsort(order)], axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(nearest(torch.from_numpy(scores), order, k), expected)


def test_scores_name_the_first_photos_and_the_first_hit():
    generator = torch.Generator().manual_seed(0)
    q, g = (torch.randn(n, 4, generator=generator) for n in (9, 31))
    ql, gl = torch.arange(9) % 3, torch.arange(31) % 4
    plain = retrieval_scores(q, ql, g, gl)
    full = retrieval_scores(q, ql, g, gl, nearest=40)
    assert full.keys() - plain.keys() == {"nearest", "rank_first"}
    assert full["nearest"].shape == (9, 31)
    hits = gl[full["nearest"]] == ql[:, None]
    assert full["rank_first"].tolist() == (hits.int().argmax(1) + 1).tolist()
    assert full["mAP@all"].tolist() == plain["mAP@all"].tolist()


def test_the_metric_tells_dataset_indices():
    metric = InstanceRetrieval(precision_k=[], map_k=[], accuracy_k=[1])
    photos = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1]])
    metric.update(photos, torch.zeros(3), torch.tensor([30, 10, 20]), "gallery", torch.arange(3))
    metric.update(photos[1:2], torch.zeros(1), torch.tensor([5]), "query", torch.tensor([2]))
    metric.update(photos[:1], torch.zeros(1), torch.tensor([6]), "query", torch.tensor([9]))
    found = metric.results(first=2)
    assert found.first.tolist() == [[10, 20], [30, 20]]
    assert found.own.tolist() == [20, -1]
    assert found.hits.tolist() == [[False, True], [True, True]]
    assert "nearest" not in found.values
