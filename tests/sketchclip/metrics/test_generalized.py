"""Queries of unseen and seen classes apart, and H: against NumPy, and in two processes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchclip.metrics import GeneralizedRetrieval, InstanceRetrieval
from sketchclip.metrics.definitions import metric_info, of_queries
from sketchclip.runs.results import intervals

SEEN = (2, 3)
CUTS = {"precision_k": [2], "map_k": [3]}


def images(seed, count=17, classes=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)), np.arange(count) % classes


def feed(metric, queries, gallery, rank=0, world=1):
    for side, (states, labels) in (("query", queries), ("gallery", gallery)):
        rows = torch.arange(rank, len(states), world)
        given = (torch.tensor(states).float()[rows], torch.tensor(labels)[rows], rows)
        metric.update(*given, side=side)
    return metric


def by_hand(queries, gallery, kept):
    """AP over the ranking, and P@2, of the queries of some classes: loops and a sort."""
    photos = gallery[0] / np.linalg.norm(gallery[0], axis=1, keepdims=True)
    found = []
    for state, label in zip(*queries, strict=True):
        if label in kept:
            scores = photos.astype(np.float32) @ (state / np.linalg.norm(state)).astype(np.float32)
            order = np.argsort(-scores, kind="stable")
            hits = [gallery[1][at] == label for at in order]
            precisions = [sum(hits[: at + 1]) / (at + 1) for at, hit in enumerate(hits) if hit]
            found.append((sum(precisions) / len(precisions), sum(hits[:2]) / 2))
    return np.mean(found, axis=0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(8, 30))
def test_equals_loops_in_numpy(seed, size):
    queries, gallery = images(seed), images(seed + 1, size)
    result = feed(GeneralizedRetrieval(**CUTS, seen=SEEN), queries, gallery).compute()
    unseen, seen = by_hand(queries, gallery, {0, 1}), by_hand(queries, gallery, {2, 3})
    for at, name in enumerate(("mAP@all", "P@2")):
        u, s = unseen[at], seen[at]
        assert result[name].item() == pytest.approx(u, abs=1e-5)
        assert result[of_queries(name, "seen")].item() == pytest.approx(s, abs=1e-5)
        h = 0 if u + s == 0 else 1 / np.mean([1 / u, 1 / s]) if min(u, s) > 0 else 0
        assert result[of_queries(name, "H")].item() == pytest.approx(h, abs=1e-5)


def test_unseen_queries_have_the_values_of_a_test_without_the_others():
    queries, gallery = images(0), images(1, 29)
    unseen = queries[1] < 2
    alone = feed(InstanceRetrieval(**CUTS), (queries[0][unseen], queries[1][unseen]), gallery)
    both = feed(GeneralizedRetrieval(**CUTS, seen=SEEN), queries, gallery)
    expected, result = alone.compute(), both.compute()
    assert {n: v.item() for n, v in expected.items()} == pytest.approx(
        {n: result[n].item() for n in expected}
    )
    values = both.results().values
    for name in ("mAP@all", "P@2", "mAP@3_voc"):
        assert np.isnan(values[name][~unseen]).all()
        assert np.isnan(values[f"seen_{name}"][unseen]).all()
        np.testing.assert_allclose(values[name][unseen], alone.results().values[name])
    assert not np.isnan(both.results(first=2).values["rank_first"]).any()


def test_without_seen_queries_it_is_the_plain_metric():
    queries, gallery = images(0), images(1, 29)
    plain = feed(InstanceRetrieval(**CUTS), queries, gallery).compute()
    result = feed(GeneralizedRetrieval(**CUTS), queries, gallery).compute()
    assert result == plain


def test_photos_of_one_kind_alone_have_no_harmonic_mean():
    metric = GeneralizedRetrieval([1], [], [1], seen=[1])
    own = torch.tensor([5, -1])
    metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2), "gallery", own)
    metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2), "query", own)
    result = metric.compute()
    assert result["Acc@1"] == result["chance_Acc@1"] == 1
    assert not [name for name in result if "seen_Acc" in name or "H_Acc" in name]
    assert result["H_mAP@all"] == 1


def test_names_are_known():
    for name in ("seen_mAP@200", "H_mAP@200", "H_Acc@5_all"):
        assert metric_info(name).quoted
        assert metric_info(name).queries == name.partition("_")[0]
    assert metric_info("mAP@200").queries == "unseen"
    assert metric_info("H_mAP@200").label == "H mAP@200 (strict)"
    assert "harmonic mean" in metric_info("H_P@5").meaning
    assert metric_info("chance_seen_mAP@all").chance
    labels = [metric_info(of_queries("mAP@all", kind)).label for kind in ("seen", "H")]
    assert len({*labels, metric_info("mAP@all").label}) == 3


def test_the_harmonic_mean_has_an_interval():
    queries, gallery = images(0, 60), images(1, 29)
    found = feed(GeneralizedRetrieval(**CUTS, seen=SEEN), queries, gallery).results()
    spans = intervals(found.values)
    for name in ("mAP@all", "seen_mAP@all", "H_mAP@all", "H_P@2"):
        assert spans[name][0] < found.metrics[name] < spans[name][1]


def work(rank, folder):
    torch.set_num_threads(1)
    method = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=method, rank=rank, world_size=2)
    metric = GeneralizedRetrieval(**CUTS, seen=SEEN)
    result = feed(metric, images(0), images(1, 29), rank, 2).compute()
    # All queries of seen classes in one process.
    queries = images(0)
    mine = (queries[1] >= 2) == bool(rank)
    index = torch.arange(len(mine))[torch.tensor(mine)]
    metric = GeneralizedRetrieval(**CUTS, seen=SEEN)
    states = torch.tensor(queries[0][mine]).float()
    metric.update(states, torch.tensor(queries[1][mine]), index, side="query")
    photos, labels = images(1, 29)
    rows = torch.arange(rank, 29, 2)
    metric.update(torch.tensor(photos).float()[rows], torch.tensor(labels)[rows], rows, "gallery")
    torch.save([result, metric.compute()], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_equal_one(tmp_path):
    mp.spawn(work, (str(tmp_path),), nprocs=2)
    expected = feed(GeneralizedRetrieval(**CUTS, seen=SEEN), images(0), images(1, 29)).compute()
    for rank in range(2):
        for result in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert {n: v.item() for n, v in result.items()} == pytest.approx(
                {n: v.item() for n, v in expected.items()}, abs=1e-6
            )
