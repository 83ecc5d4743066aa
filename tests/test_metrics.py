"""Every metric of a whole evaluation against loops written from the definitions."""

import itertools
import math
import pickle

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from sketchclip.errors import SketchClipError
from sketchclip.metrics import (
    CategoryRetrieval,
    InstanceRetrieval,
    chance_average_precision,
    functional,
    ranking,
    retrieval_scores,
)
from sketchclip.metrics.functional import cosine_scores

NAN = math.nan


# --- The reference: Python numbers only, nothing shared with the product. ---


def reference_query(scores, relevant, own, ks, qs):
    """All metrics of one query from its exact scores."""
    # sorted() is stable: equal scores keep the gallery's order.
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, precision = 0, []
    for rank, item in enumerate(order, start=1):
        hits += relevant[item]
        precision.append(hits / rank)
    total = sum(relevant)
    at = [rank for rank, item in enumerate(order) if relevant[item]]
    result = {"mAP@all": sum(precision[i] for i in at) / total if total else NAN}
    for k in ks:
        inside = [i for i in at if i < k]
        plain = sum(precision[i] for i in inside)
        envelope = sum(max(precision[i:k]) for i in inside)
        result[f"mAP@{k}"] = plain / min(total, k) if total else NAN
        result[f"mAP@{k}_voc"] = envelope / min(total, k) if total else NAN
        result[f"mAP@{k}_prefix"] = plain / max(1, len(inside)) if total else NAN
        result[f"P@{k}"] = len(inside) / k
    if own is not None:
        mates = [item for item in order if relevant[item]]
        for scope, among in (("", mates), ("_all", order)):
            rank = among.index(own) + 1 if own >= 0 else NAN
            result[f"rank{scope}"] = rank
            for q in qs:
                result[f"Acc@{q}{scope}"] = NAN if own < 0 else float(rank <= q)
    return result


def reference(scores, labels, gallery_labels, targets, ks, qs):
    """Lists by metric, one value a query."""
    rows = [
        reference_query(
            row,
            [label == other for other in gallery_labels],
            None if targets is None else targets[i],
            ks,
            qs,
        )
        for i, (row, label) in enumerate(zip(scores, labels, strict=True))
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def check(result, expected):
    assert result.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(result[name].numpy(), values, rtol=0, atol=1e-6, err_msg=name)


def inner(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


# Exact scores by similarity, from vectors of small integers; only their order counts.
EXACT = {
    "euclidean": lambda a, b: -sum((x - y) ** 2 for x, y in zip(a, b, strict=True)),
    "hamming": lambda a, b: -sum((x > 0) != (y > 0) for x, y in zip(a, b, strict=True)),
    # Vectors of one length, so that the product orders as the cosine does.
    "cosine": inner,
}
LABELS = st.sampled_from([-(10**12), -3, 0, 1, 7, 10**15])
# Length 2 for each, so that normalised coordinates are 0, 1/2 and 1: exact in fp32.
UNIT = [
    *itertools.product([-1, 1], repeat=4),
    *(tuple(2 * s * (i == j) for j in range(4)) for i in range(4) for s in (-1, 1)),
]


@st.composite
def labelled(draw):
    """Labels of both sides and the position of each query's own photo, or -1."""
    n_queries, n_gallery = draw(st.integers(1, 6)), draw(st.integers(1, 14))
    kinds = draw(st.lists(LABELS, min_size=1, max_size=4, unique=True))
    gallery = draw(st.lists(st.sampled_from(kinds), min_size=n_gallery, max_size=n_gallery))
    queries = draw(st.lists(st.sampled_from(kinds), min_size=n_queries, max_size=n_queries))
    own = [
        draw(st.sampled_from([-1, *(i for i, other in enumerate(gallery) if other == label)]))
        for label in queries
    ]
    return queries, gallery, draw(st.sampled_from([None, own]))


CUTS = st.lists(st.integers(1, 17), min_size=1, max_size=3, unique=True)


@st.composite
def tables(draw):
    """Labels and a table of scores: ties, near ties, duplicates, all negative."""
    queries, gallery, own = draw(labelled())
    # A step of a last bit between some, which is where the ranking keeps the relevance.
    near = [np.nextafter(np.float32(-0.5), np.float32(x)) for x in (-1, 1)]
    grid = draw(
        st.sampled_from(
            [[0.0], [-4, -3, -2, -1], [-2, -1, -0.0, 0.0, 1, 2], [1, 2, 3], [*near, -0.5]]
        )
    )
    values = st.sampled_from([float(x) for x in grid])
    shape = len(queries), len(gallery)
    return draw(hnp.arrays(np.float32, shape, elements=values)), queries, gallery, own


@pytest.fixture(params=["one block", "many blocks", "many blocks and threads", "all fall back"])
def machine(request, monkeypatch):
    """The ways through the engine that a small problem would otherwise not take."""
    if request.param != "one block":
        monkeypatch.setattr(functional, "_BLOCK", 100)  # 25 scores
        monkeypatch.setattr(ranking, "_CACHED", 30)
    if request.param == "all fall back":
        monkeypatch.setattr(ranking, "_MANY_TIES", 0)
    if "threads" not in request.param:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def by_table(table, labels, gallery_labels, targets=None, ks=(3,), qs=(1,)):
    """States are row numbers, which the score function looks up."""
    table = torch.as_tensor(table)
    return retrieval_scores(
        torch.arange(len(labels)),
        torch.as_tensor(labels),
        torch.arange(len(gallery_labels)),
        torch.as_tensor(gallery_labels),
        precision_k=ks,
        map_k=ks,
        accuracy_k=qs,
        targets=None if targets is None else torch.as_tensor(targets),
        score=lambda q, g: table[q][:, g],
    )


def test_any_scores_equal_the_reference(machine):
    @settings(deadline=None, max_examples=100)
    @given(tables(), CUTS, CUTS)
    def run(problem, ks, qs):
        scores, labels, gallery, own = problem
        expected = reference(scores.tolist(), labels, gallery, own, ks, qs)
        check(by_table(scores, labels, gallery, own, ks, qs), expected)

    run()


@pytest.mark.parametrize("similarity", EXACT)
def test_similarities_equal_the_reference(similarity, machine):
    vectors = {
        "cosine": st.sampled_from(UNIT),
        "euclidean": st.tuples(*[st.integers(-3, 3)] * 3),
        "hamming": st.one_of(
            st.tuples(*[st.integers(0, 1)] * 5), st.tuples(*[st.sampled_from([-1, 1])] * 5)
        ),
    }[similarity]

    @settings(deadline=None, max_examples=50)
    @given(labelled(), CUTS, st.data())
    def run(problem, ks, data):
        labels, gallery_labels, own = problem
        queries, gallery = (
            data.draw(st.lists(vectors, min_size=len(x), max_size=len(x)))
            for x in (labels, gallery_labels)
        )
        scores = [[EXACT[similarity](q, g) for g in gallery] for q in queries]
        # Lengths differ where they must not matter; powers of two keep the numbers exact.
        factor = 2.0 ** torch.arange(len(gallery))[:, None] if similarity == "cosine" else 1.0
        result = retrieval_scores(
            torch.tensor(queries),
            torch.tensor(labels),
            torch.tensor(gallery) * factor,
            torch.tensor(gallery_labels),
            precision_k=ks,
            map_k=ks,
            accuracy_k=ks,
            targets=None if own is None else torch.tensor(own),
            similarity=similarity,
        )
        check(result, reference(scores, labels, gallery_labels, own, ks, ks))

    run()


def test_random_embeddings_equal_the_reference_in_many_blocks(monkeypatch):
    monkeypatch.setattr(functional, "_BLOCK", 4 * 300 * 7)
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(40, 8)), rng.normal(size=(300, 8))
    labels, others = rng.integers(0, 9, 40), rng.integers(0, 9, 300)
    own = [int(rng.choice(np.flatnonzero(others == label))) for label in labels]
    own[3] = -1
    for similarity in ("cosine", "euclidean"):
        if similarity == "cosine":
            unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
            scores = unit[0] @ unit[1].T
        else:
            scores = -np.linalg.norm(queries[:, None] - gallery[None], axis=2)
        result = retrieval_scores(
            *(torch.from_numpy(x) for x in (queries, labels, gallery, others)),
            *([100, 5], [100, 5], [1, 5], torch.tensor(own)),
            similarity=similarity,
        )
        expected = reference(scores.tolist(), labels, others, own, [100, 5], [1, 5])
        check(result, expected)


def test_states_of_any_shape_reach_the_score():
    # A score that depends on the query: each looks at one of the photo's two views.
    queries = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    gallery = torch.tensor([[[3.0, 1.0]], [[2.0, 2.0]], [[1.0, 3.0]]])
    result = retrieval_scores(
        *(queries, torch.tensor([0, 0]), gallery, torch.tensor([0, 1, 1])),
        score=lambda q, g: torch.einsum("qij,gij->qg", q, g),
    )
    assert result["mAP@all"].tolist() == pytest.approx([1, 1 / 3])


def test_only_negative_scores_rank_like_any_others():
    scores = np.random.default_rng(0).integers(-50, 50, (6, 20)).astype(np.float32)
    queries, gallery = np.arange(6) % 4, np.arange(20) % 4
    first, second = (by_table(s, queries, gallery) for s in (scores, scores - 100))
    assert first["mAP@all"].mean() > 0
    for name in first:
        torch.testing.assert_close(first[name], second[name])


# --- Types and refusals. ---


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_any_float_type_is_ranked_in_fp32(dtype, similarity):
    states = torch.randn(60, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.arange(60) % 5
    sides = states[:20], labels[:20], states[20:], labels[20:]
    result = retrieval_scores(*sides, [5], [5], similarity=similarity)
    fp32 = retrieval_scores(
        sides[0].float(), sides[1], sides[2].float(), sides[3], [5], [5], similarity=similarity
    )
    for name in fp32:
        assert torch.equal(result[name], fp32[name])
    half = retrieval_scores(
        *sides, [5], [5], score=lambda q, g: (q @ g.T).to(torch.bfloat16).to(dtype)
    )
    assert not torch.equal(half["mAP@all"], fp32["mAP@all"])  # rounded scores do rank otherwise


def test_scores_that_differ_beyond_fp32_are_ties():
    table = torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64)
    assert by_table(table, [1], [0, 1])["mAP@all"].item() == pytest.approx(0.5)


def test_embeddings_that_require_a_gradient_are_measured():
    states = torch.eye(3, requires_grad=True)
    labels = torch.arange(3)
    assert retrieval_scores(states, labels, states, labels)["mAP@all"].tolist() == [1, 1, 1]
    scored = retrieval_scores(states, labels, states, labels, score=lambda q, g: q @ g.T)
    assert scored["mAP@all"].tolist() == [1, 1, 1]


def test_inputs_are_left_as_they_are():
    # The fp32 block is negated and masked in place: never the caller's.
    sides = torch.randn(7, 3), torch.arange(7) % 2, torch.randn(9, 3), torch.arange(9) % 2
    table = torch.randn(7, 9)
    before = [x.clone() for x in (*sides, table)]
    for similarity in EXACT:
        retrieval_scores(*sides, similarity=similarity)
    retrieval_scores(*sides, score=lambda q, g: table)
    for x, copy in zip((*sides, table), before, strict=True):
        assert torch.equal(x, copy)


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("similarity", EXACT)
@pytest.mark.parametrize("with_targets", [False, True])
def test_not_finite_embedding_names_the_query_as_the_caller_counts(
    odd, similarity, with_targets, machine
):
    # Internally queries are put in the order of their labels, which here is the reverse.
    labels = torch.arange(9).flip(0)
    queries, gallery = torch.ones(9, 4), torch.ones(9, 4)
    targets = torch.arange(9) if with_targets else None
    queries[6, 2] = odd
    with pytest.raises(SketchClipError, match=r"query 6 are NaN or infinite"):
        retrieval_scores(queries, labels, gallery, labels, similarity=similarity, targets=targets)


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("similarity", EXACT)
def test_not_finite_photo_is_refused(odd, similarity, machine):
    gallery = torch.ones(9, 4)
    gallery[5, 0] = odd
    labels = torch.arange(9)
    with pytest.raises(SketchClipError, match=r"query \d are NaN or infinite.*gallery"):
        retrieval_scores(torch.ones(9, 4), labels, gallery, labels, similarity=similarity)


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
def test_not_finite_score_is_refused(odd, machine):
    table = torch.zeros(8, 9)
    table[2, 4] = odd
    with pytest.raises(SketchClipError, match="query 2 are NaN or infinite"):
        by_table(table, [3, 1, 2, 0, 1, 0, 3, 2], [0, 1, 2, 3, 0, 1, 2, 3, 0])


def test_what_does_not_fit_is_refused():
    states, labels = torch.eye(3), torch.arange(3)
    for sides, message in (
        ((states[:0], labels[:0], states, labels), "0 sketches and 3 photos"),
        ((states, labels, states[:0], labels[:0]), "3 sketches and 0 photos"),
        ((states, labels[:2], states, labels), "each of 3 sketches.*shape \\(2,\\)"),
        ((states, labels, states, labels[:, None]), "each of 3 photos.*shape \\(3, 1\\)"),
        ((states, labels, states[:, :2], labels), "shape \\(3,\\) each, those of photos \\(2,\\)"),
    ):
        with pytest.raises(SketchClipError, match=message):
            retrieval_scores(*sides)


def test_wrong_targets_are_refused():
    states, labels = torch.eye(3), torch.tensor([2, 1, 0])
    with pytest.raises(SketchClipError, match=r"photo 3; the gallery has 3"):
        retrieval_scores(states, labels, states, labels, targets=torch.tensor([0, 1, 3]))
    with pytest.raises(SketchClipError, match=r"Query 2 is of class 0.*position 1\) of class 1"):
        retrieval_scores(states, labels, states, labels, targets=torch.tensor([0, 1, 1]))


def test_cosine_scores_ignore_length_and_stay_fp32():
    a, b = torch.randn(3, 5), torch.randn(4, 5)
    expected = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(cosine_scores(3 * a, b), expected)
    assert cosine_scores(a.half(), b.half()).dtype == torch.float32


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
    assert metric.values["P@1"].tolist() == [1, 0]


def test_result_is_the_mean_over_queries(banks):
    metric = fill(new(), banks, batch=4, order=torch.Generator().manual_seed(1))
    result = metric.compute()
    (queries, labels, index, shown), (gallery, others, _, photos) = banks.values()
    # Photo numbers are gallery positions here, where the gallery has them.
    assert bool(torch.equal(photos, torch.arange(29)))
    values = retrieval_scores(queries, labels, gallery, others, [1, 5], [4], [1, 2], shown)
    for name, of_queries in values.items():
        np.testing.assert_array_equal(metric.values[name], of_queries.numpy())
        if not name.startswith("rank"):
            assert result[name].item() == pytest.approx(of_queries.mean().item(), abs=1e-6)
    assert metric.values["index"].tolist() == index.tolist()
    assert metric.values["label"].tolist() == labels.tolist()
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
    assert result["Acc@2"].item() == pytest.approx(whole.values["Acc@2"][kept].mean())
    by_class = [whole.values["Acc@2"][kept][labels[kept] == c].mean() for c in range(3)]
    assert result["Acc@2_macro"].item() == pytest.approx(np.mean(by_class))
    assert result["mAP@all"] == expected["mAP@all"]  # they do count at category level


def test_a_class_without_any_known_photo_is_left_out_of_the_macro_mean(banks):
    states, labels, index, shown = banks["query"]
    missing = torch.where(labels == 1, -1, shown)
    result = compute({**banks, "query": (states, labels, index, missing)})
    whole = fill(new(), banks)
    whole.compute()
    means = [whole.values["Acc@1_all"][labels.numpy() == c].mean() for c in (0, 2)]
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
    metric = new()
    metric.partial = True
    result = fill(metric, few).compute()
    kept = banks["query"][1] != 1
    assert result == compute({**few, "query": tuple(x[kept] for x in banks["query"])})
    assert metric.values["index"].tolist() == torch.arange(13)[kept].tolist()


def test_partial_without_any_answer_has_no_result(banks):
    metric = new()
    metric.partial = True
    fill(metric, {"query": banks["query"]})
    assert metric.compute() == {}


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
