"""Every metric of a whole evaluation against loops written from the definitions."""

import itertools
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchclip.errors import SketchClipError
from sketchclip.metrics import (
    fast_ranking,
    functional,
    retrieval_scores,
)
from sketchclip.metrics.vectors import as_product

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
        most = min(total, k)
        result[f"P@{k}_relevant"] = sum(i < most for i in at) / most if total else NAN
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
        monkeypatch.setattr(fast_ranking, "_CACHED", 30)
    if request.param == "all fall back":
        monkeypatch.setattr(fast_ranking, "_MANY_TIES", 0)
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
    with pytest.raises(SketchClipError, match=r"NaN or infinite, first that of query 6"):
        retrieval_scores(queries, labels, gallery, labels, similarity=similarity, targets=targets)


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("similarity", EXACT)
def test_not_finite_photo_is_refused(odd, similarity, machine):
    gallery = torch.ones(9, 4)
    gallery[5, 0] = odd
    labels = torch.arange(9)
    with pytest.raises(SketchClipError, match=r"NaN or infinite, first that of photo 5"):
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


def test_cosine_ignores_length_and_stays_fp32():
    def cosine(queries, gallery):
        left = as_product(queries, "cosine", "query")
        return left @ as_product(gallery, "cosine", "gallery").T

    a, b = torch.randn(3, 5), torch.randn(4, 5)
    expected = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(cosine(3 * a, b), expected)
    assert cosine(a.half(), b.half()).dtype == torch.float32


@pytest.mark.parametrize("allowed", ["highest", "high", "medium"])
def test_less_precision_in_training_does_not_reach_the_ranking(allowed, monkeypatch):
    seen = []
    product = torch.mm
    monkeypatch.setattr(
        torch,
        "mm",
        lambda *args, **options: (
            seen.append(torch.get_float32_matmul_precision()) or product(*args, **options)
        ),
    )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(allowed)
    try:
        labels = torch.arange(4)
        retrieval_scores(torch.randn(4, 3), labels, torch.randn(4, 3), labels)
        assert torch.get_float32_matmul_precision() == allowed
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"highest"}
