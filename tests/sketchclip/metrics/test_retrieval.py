"""The torchmetrics classes and the chance levels that they report."""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from sketchclip.errors import SketchClipError
from sketchclip.metrics import (
    CategoryRetrieval,
    InstanceRetrieval,
    chance_average_precision,
    retrieval_scores,
)

NAN = math.nan


# --- The classes. ---


@pytest.fixture
def banks():
    generator = torch.Generator().manual_seed(0)
    return {
        side: (
            torch.randn(count, 6, generator=generator),
            torch.arange(count) % 3,
            torch.arange(count),
            instances,
        )
        # Sketch i shows photo i % 7; photos 20 and above are nobody's.
        for side, count, instances in (
            ("query", 13, torch.arange(13) % 7 * 3 + torch.arange(13) % 3),
            ("gallery", 29, torch.arange(29)),
        )
    }


def new(kind=InstanceRetrieval, **options):
    if kind is InstanceRetrieval:
        options = {"accuracy_k": [1, 2], **options}
    return kind(**{"precision_k": [1, 5], "map_k": [4], **options})


def fill(metric, banks, batch=50, order=None, repeat=()):
    for side, (states, labels, index, instances) in banks.items():
        rows = torch.arange(len(index))
        if order is not None:
            rows = rows[torch.randperm(len(index), generator=order)]
        rows = torch.cat([rows, torch.tensor(repeat, dtype=torch.long)])
        for part in rows.split(batch):
            metric.update(states[part], labels[part], index[part], side, instances[part])
    return metric


def compute(banks, *args, kind=InstanceRetrieval, **how):
    return fill(new(kind), banks, *args, **how).compute()


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batch_size_and_order_change_nothing(banks, batch):
    expected = compute(banks, 7)
    assert {"mAP@all", "mAP@4_voc", "P@5", "Acc@1", "Acc@2_all_macro"} <= expected.keys()
    assert compute(banks, batch, torch.Generator().manual_seed(batch)) == expected


def test_sides_may_alternate(banks):
    metric = new()
    for start in range(0, 30, 5):
        rows = slice(start, start + 5)
        for side, bank in banks.items():
            if start < len(bank[0]):
                states, labels, index, instances = (x[rows] for x in bank)
                metric.update(states, labels, index, side, instances)
    assert metric.compute() == compute(banks)


def test_padding_duplicates_are_removed_by_index(banks):
    # A distributed sampler repeats the first images to make the shares even.
    assert compute(banks, 5, repeat=[0, 1, 2, 1]) == compute(banks, 5)


def test_equal_images_with_different_index_all_count(banks):
    states, labels, _, instances = banks["gallery"]
    doubled = (
        *(torch.cat([x, x[:9]]) for x in (states, labels)),
        *(torch.arange(38), torch.cat([instances, instances[:9]])),
    )
    assert compute({**banks, "gallery": doubled}) != compute(banks)


def test_ties_are_broken_by_the_dataset_not_by_arrival():
    metric = CategoryRetrieval(precision_k=[1], map_k=[])
    for index in (1, 0):
        metric.update(torch.ones(1, 2), torch.tensor([index]), torch.tensor([index]), "gallery")
    metric.update(torch.ones(2, 2), torch.tensor([0, 1]), torch.arange(2))
    assert metric.compute()["P@1"] == 0.5
    assert metric.results().values["P@1"].tolist() == [1, 0]


def test_result_is_the_mean_over_queries(banks):
    metric = fill(new(), banks, batch=4, order=torch.Generator().manual_seed(1))
    result, found = metric.compute(), metric.results()
    (queries, labels, index, shown), (gallery, others, _, photos) = banks.values()
    # Photo numbers are gallery positions here, where the gallery has them.
    assert bool(torch.equal(photos, torch.arange(29)))
    values = retrieval_scores(queries, labels, gallery, others, [1, 5], [4], [1, 2], shown)
    for name, of_queries in values.items():
        np.testing.assert_array_equal(found.values[name], of_queries.numpy())
        if not name.startswith("rank"):
            assert result[name].item() == pytest.approx(of_queries.mean().item(), abs=1e-6)
    assert found.index.tolist() == index.tolist()
    assert found.labels.tolist() == labels.tolist()
    assert not [name for name in result if "rank" in name]


def test_macro_is_the_mean_over_classes_of_class_means():
    # Class 0: three sketches, all find their photo. Class 1: one sketch, which does not.
    metric = InstanceRetrieval([], [], [1])
    photos = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7], [-1.0, 0.0]])
    metric.update(
        photos, torch.tensor([0, 0, 1, 1]), torch.arange(4), "gallery", torch.tensor([4, 5, 6, 7])
    )
    sketches = torch.tensor([[1.0, 0.1], [0.9, 0.2], [0.1, 1.0], [-1.0, 0.3]])
    own = torch.tensor([4, 4, 5, 6])
    metric.update(sketches, torch.tensor([0, 0, 0, 1]), torch.arange(4), "query", own)
    result = metric.compute()
    assert result["Acc@1"].item() == pytest.approx(3 / 4)
    assert result["Acc@1_macro"].item() == pytest.approx(1 / 2)


def test_sketches_without_a_photo_do_not_count_for_accuracy(banks):
    states, labels, index, shown = banks["query"]
    missing = shown.clone()
    missing[[0, 4]], missing[7] = -1, 999  # not known, and not in the gallery
    result = compute({**banks, "query": (states, labels, index, missing)})
    whole = fill(new(), banks)
    expected = whole.compute()
    kept = np.delete(np.arange(13), [0, 4, 7])
    assert result["Acc@2"].item() == pytest.approx(whole.results().values["Acc@2"][kept].mean())
    by_class = [whole.results().values["Acc@2"][kept][labels[kept] == c].mean() for c in range(3)]
    assert result["Acc@2_macro"].item() == pytest.approx(np.mean(by_class))
    assert result["mAP@all"] == expected["mAP@all"]  # they do count at category level


def test_a_class_without_any_known_photo_is_left_out_of_the_macro_mean(banks):
    states, labels, index, shown = banks["query"]
    missing = torch.where(labels == 1, -1, shown)
    result = compute({**banks, "query": (states, labels, index, missing)})
    whole = fill(new(), banks)
    whole.compute()
    means = [whole.results().values["Acc@1_all"][labels.numpy() == c].mean() for c in (0, 2)]
    assert result["Acc@1_all_macro"].item() == pytest.approx(np.mean(means))


def test_several_photos_with_one_number_the_first_of_the_dataset_counts(banks):
    # Photo 1 of the class is the nearest, photo 0 shares its number and comes first.
    gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    metric = InstanceRetrieval([], [], [1, 2, 3])
    order = torch.tensor([1, 2, 0])
    numbers = torch.tensor([8, 8, 9])
    zero = torch.zeros(3, dtype=torch.long)
    metric.update(gallery[order], zero, order, "gallery", numbers[order])
    metric.update(
        torch.tensor([[1.0, 0.1]]), zero[:1], torch.tensor([0]), "query", torch.tensor([8])
    )
    result = metric.compute()
    assert [result[f"Acc@{q}"].item() for q in (1, 2, 3)] == [0, 0, 1]


def test_without_instances_the_result_is_that_of_the_category(banks):
    plain = {side: (*bank[:3], torch.full_like(bank[2], -1)) for side, bank in banks.items()}
    assert compute(plain) == compute(banks, kind=CategoryRetrieval)
    metric = new()
    for side, bank in banks.items():
        metric.update(*bank[:3], side)
    assert metric.compute() == compute(banks, kind=CategoryRetrieval)
    assert not [name for name in metric.compute() if "Acc" in name]


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8])
def test_labels_of_other_integer_types(banks, kind):
    metric = new()
    for side, bank in banks.items():
        metric.update(bank[0], *(x.to(kind) for x in bank[1:3]), side)
    assert metric.compute() == compute(banks, kind=CategoryRetrieval)


def test_reset_forgets(banks):
    metric = new()
    fill(metric, {side: (-bank[0], *bank[1:]) for side, bank in banks.items()})
    metric.compute()
    metric.reset()
    assert fill(metric, banks).compute() == compute(banks)


def test_more_images_after_a_result_change_it(banks):
    metric = fill(new(), {**banks, "gallery": tuple(x[:20] for x in banks["gallery"])})
    metric.compute()
    fill(metric, {"gallery": tuple(x[20:] for x in banks["gallery"])})
    assert metric.compute() == compute(banks)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_states_are_ranked_in_fp32(banks, dtype):
    halves = {side: (bank[0].to(dtype), *bank[1:]) for side, bank in banks.items()}
    rounded = {side: (bank[0].float(), *bank[1:]) for side, bank in halves.items()}
    assert compute(halves) == compute(rounded)
    assert compute(halves)["mAP@all"].dtype == torch.float32


def test_states_keep_no_graph(banks):
    states, *rest = banks["query"]
    metric = fill(new(), {**banks, "query": (states.clone().requires_grad_(), *rest)})
    assert not metric.query_states[0].requires_grad
    assert metric.compute() == compute(banks)


def test_similarity_score_and_prefix_are_used(banks):
    (queries, labels, *_), (gallery, others, *_) = banks.values()
    for options in ({"similarity": "euclidean"}, {"score": lambda q, g: q[:, :1] * g[:, 0]}):
        result = fill(new(CategoryRetrieval, prefix="test/", **options), banks).compute()
        expected = retrieval_scores(queries, labels, gallery, others, [1, 5], [4], **options)
        assert result["test/mAP@all"].item() == pytest.approx(expected["mAP@all"].mean().item())
        assert result["test/mAP@all"] != compute(banks)["mAP@all"]
        assert all(name.startswith("test/") for name in result)


def test_class_without_photos_is_an_error_that_names_it(banks):
    states, labels, *rest = banks["query"]
    labels = labels.clone()
    labels[[2, 5]], labels[3] = 77, -4
    with pytest.raises(SketchClipError, match=r"class ids \[-4, 77\] have no photo"):
        compute({**banks, "query": (states, labels, *rest)})


def test_partial_leaves_unanswered_queries_out(banks):
    few = {**banks, "gallery": tuple(x[banks["gallery"][1] != 1] for x in banks["gallery"])}
    found = fill(new(), few).results(partial=True)
    kept = banks["query"][1] != 1
    expected = compute({**few, "query": tuple(x[kept] for x in banks["query"])})
    assert {name: torch.tensor(value) for name, value in found.metrics.items()} == expected
    assert found.index.tolist() == torch.arange(13)[kept].tolist()
    assert found.partial


def test_partial_without_any_answer_has_no_result(banks):
    found = fill(new(), {"query": banks["query"]}).results(first=3, partial=True)
    assert found.metrics == {}
    assert found.first.shape == (0, 3)


@pytest.mark.parametrize(
    ("side", "message"), [("query", "13 sketches and 0"), ("gallery", "0 sketches and 29")]
)
def test_a_side_without_images_is_an_error(banks, side, message):
    with pytest.raises(SketchClipError, match=message):
        compute({side: banks[side]})


def test_unknown_side_is_an_error(banks):
    with pytest.raises(ValueError, match="'photo'"):
        new().update(*banks["query"][:3], "photo")


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_in_a_collection(banks):
    collection = MetricCollection(
        {"category": new(CategoryRetrieval, prefix="c/"), "instance": new(prefix="i/")}
    )
    for _ in range(2):  # the second epoch goes through the compute groups
        for side, (states, labels, index, instances) in banks.items():
            for rows in torch.arange(len(index)).split(6):
                collection.update(
                    *(x[rows] for x in (states, labels, index)),
                    side=side,
                    instances=instances[rows],
                )
        result = collection.compute()
        for prefix, kind in (("c/", CategoryRetrieval), ("i/", InstanceRetrieval)):
            mine = {n.removeprefix(prefix): v for n, v in result.items() if n.startswith(prefix)}
            assert mine == compute(banks, kind=kind)
        collection.reset()


def test_outside_this_framework(banks):
    """A loop as anybody would write it around a model of theirs."""
    model = torch.nn.Linear(6, 4)
    metric = CategoryRetrieval(precision_k=[1, 5], map_k=[4])
    for side, bank in banks.items():
        for states, labels, index in DataLoader(TensorDataset(*bank[:3]), 5, shuffle=True):
            metric.update(model(states), labels, index, side)
    embedded = {side: (model(bank[0]).detach(), *bank[1:]) for side, bank in banks.items()}
    # Batches of other sizes may round a product differently.
    expected = compute(embedded, kind=CategoryRetrieval)
    for name, value in metric.compute().items():
        assert value.item() == pytest.approx(expected[name].item(), abs=1e-6)


def test_copies_are_independent_and_complete(banks):
    metric = fill(new(), {"gallery": banks["gallery"]})
    for copy in (metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert fill(copy, {"query": banks["query"]}).compute() == compute(banks)
    assert len(metric.query_states) == 0


# --- Chance. ---


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
    result = compute(banks)
    galleries = banks["gallery"][1].bincount()
    weights = banks["query"][1].bincount() / 13
    expected = sum(
        float(w) * chance_average_precision(int(r), 29)
        for w, r in zip(weights, galleries, strict=True)
    )
    assert result["chance_mAP@all"].item() == pytest.approx(expected, abs=1e-6)


def test_chance_of_accuracy_equals_the_mean_over_all_rankings():
    # Photos of class 0: three, of class 1: two. Sketches: two of class 0, one of class 1, one lost.
    others, labels = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    own = torch.tensor([10, 13, 12, -1])
    found = {f"Acc@{q}{scope}": [] for q in (1, 2, 4) for scope in ("", "_all")}
    for order in itertools.permutations(range(5)):
        metric = InstanceRetrieval([], [], [1, 2, 4], score=lambda q, g: q @ g.T)
        metric.update(
            torch.eye(5)[list(order)], others, torch.arange(5), "gallery", 10 + torch.arange(5)
        )
        metric.update(torch.arange(5.0).repeat(4, 1), labels, torch.arange(4), "query", own)
        result = metric.compute()
        for name, values in found.items():
            values.append(result[name].item())
    for name, values in found.items():
        assert result[f"chance_{name}"].item() == pytest.approx(np.mean(values), abs=1e-6)
