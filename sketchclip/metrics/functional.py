"""Full-gallery retrieval as pure functions: embeddings and labels in, values of each query out.

Queries are ranked in blocks. Neither the matrix of all scores nor a list of pairs is kept; beside
the banks themselves a block takes about ``_BLOCK`` bytes. ``torchmetrics.functional.retrieval_*``
is not used: from 1.8 on it ignores every item whose score is <= 0, which is wrong for cosine
similarity.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.metrics.blocks import BlockMetrics
from sketchclip.metrics.fast_ranking import Ranker
from sketchclip.metrics.ranking import Groups
from sketchclip.metrics.two_stages import TwoStages
from sketchclip.metrics.vectors import Score, Similarity, as_product

_BLOCK = 32 << 20


def retrieval_scores(
    queries: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    precision_k: Sequence[int] = (100, 200),
    map_k: Sequence[int] = (200,),
    accuracy_k: Sequence[int] = (1, 5, 10),
    targets: Tensor | None = None,
    similarity: Similarity = "cosine",
    score: Score | TwoStages | None = None,
    nearest: int = 0,
) -> dict[str, Tensor]:
    """Every metric of every query, from one ranking.

    Ties keep the order of the gallery. Where the states are on a GPU, blocks are ranked there.

    Args:
        queries: States of the sketches, shape (Q, D).
        query_labels: Class of each, shape (Q,), any integers.
        gallery: States of the photos, shape (G, D); with ``score``, of any shape that it takes.
        gallery_labels: Class of each, shape (G,).
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k.
        accuracy_k: Cut-offs of Acc@q, computed where ``targets`` is given.
        targets: Position in the gallery of the one photo that each sketch shows, -1 for none,
            shape (Q,).
        similarity: cosine, euclidean or hamming (codes of 0/1 or of signs).
        score: In place of a similarity, for a score that depends on the query: maps a block of
            query states and the whole gallery's to scores (q, G), higher is nearer. With two
            stages, ranks in the gallery of a sketch's class are those of all its pairs.
        nearest: Number of first photos of each query to name.

    Returns:
        fp64 tensors of shape (Q,) on the CPU: ``mAP@all``; for each k of ``map_k`` ``mAP@<k>``
        (strict), ``mAP@<k>_voc`` and ``mAP@<k>_prefix``; ``P@<k>``; with targets ``rank`` and
        ``Acc@<q>`` in the gallery of the sketch's class, ``rank_all`` and ``Acc@<q>_all`` in the
        whole gallery. A query without any relevant photo has NaN for every AP. With nearest,
        ``rank_first`` of the first relevant photo and ``nearest``, the gallery positions of the
        first photos, int64, (Q, nearest or G).

    Raises:
        SketchClipError: If a side is empty, shapes disagree, a score is NaN or infinite, or a
            target is of another class; if a cut-off is below 1.

    Example:
        >>> result = retrieval_scores(
        ...     torch.tensor([[1., 0.]]), torch.tensor([7]),
        ...     torch.tensor([[.9, .1], [0., 1.], [-1., .1]]), torch.tensor([7, 8, 7]),
        ...     precision_k=[2], map_k=[2], accuracy_k=[1], targets=torch.tensor([2]))
        >>> {name: round(value.item(), 3) for name, value in result.items() if "m" in name}
        {'mAP@all': 0.833, 'mAP@2': 0.5, 'mAP@2_voc': 0.5, 'mAP@2_prefix': 1.0}
        >>> result["rank"].item(), result["rank_all"].item(), result["Acc@1"].item()
        (2.0, 3.0, 0.0)
    """
    for name, given in (("precision_k", precision_k), ("map_k", map_k), ("accuracy_k", accuracy_k)):
        if min(given, default=1) < 1:
            raise SketchClipError(f"{name}: expected at least 1, found {min(given)}.")
    _check(queries, query_labels, gallery, gallery_labels, alike=score is None)
    queries, gallery = queries.detach(), gallery.detach()
    labels = [np.asarray(x.cpu()) for x in (query_labels, gallery_labels)]
    by_label = np.argsort(labels[0], kind="stable")  # neighbours share their relevant columns
    groups = Groups.of(labels[0][by_label], labels[1])
    order = torch.from_numpy(groups.order).to(gallery.device)
    if score is None:
        states = as_product(gallery[order], similarity, "gallery").T
    goal = None
    if targets is not None:
        if targets.shape != query_labels.shape:
            raise SketchClipError(
                f"Expected one target for each of {len(queries)} sketches, found "
                f"{tuple(targets.shape)}."
            )
        goal = _targets(np.asarray(targets.cpu())[by_label], labels, by_label, groups.order)
    cuts = (tuple(precision_k), tuple(map_k), min(max([0, *map_k, *precision_k]), len(gallery)))
    shown = min(nearest, len(gallery))
    bound = 1.0 if score is None and similarity == "cosine" else None
    measure = BlockMetrics(groups, goal, *cuts, Ranker(groups, bound), shown)
    rows: dict[str, list[np.ndarray]] = {}
    scores = torch.empty(0)
    each = 32 if isinstance(score, TwoStages) else 4  # bytes of a pair: ranks are sorted twice
    step = max(1, _BLOCK // (each * len(gallery)))
    threads = torch.get_num_threads() if gallery.device.type == "cpu" else 1
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(queries), step):
            chosen = torch.from_numpy(by_label[first : first + step]).to(queries.device)
            block = queries[chosen]
            own: Tensor | None = None
            if score is None:
                left = as_product(block, similarity, "query").neg_()
                if len(scores) < len(block):  # one buffer for all: fresh memory costs time
                    scores = left.new_empty(len(block), len(gallery))
                distances = scores[: len(block)]
                with _full_precision():
                    torch.mm(left, states, out=distances)
            else:
                # In the gallery's own order: states may be large, and ties are broken by it.
                with _full_precision():
                    distances, own = _scored(score, block, gallery, groups, first, goal is not None)
            share = -(-len(block) // threads)
            starts = range(0, len(block), share)
            parts = [distances[a : a + share] for a in starts]
            owns = [None if own is None else own[a : a + share] for a in starts]
            try:
                found = list(pool.map(measure, parts, (first + a for a in starts), owns))
            except ValueError as error:
                raise SketchClipError(
                    f"The scores of query {by_label[error.args[1]]} are NaN or infinite. Check the "
                    "score function, and whether the embeddings are too large for fp32."
                ) from error
            for values in found:
                for name, value in values.items():
                    rows.setdefault(name, []).append(value)
    back = np.argsort(by_label, kind="stable")
    result = {name: np.concatenate(parts)[back] for name, parts in rows.items()}
    if goal is not None:
        for k in accuracy_k:
            for scope in ("", "_all"):
                rank = result[f"rank{scope}"]
                result[f"Acc@{k}{scope}"] = np.where(np.isnan(rank), np.nan, rank <= k)
    return {
        name: torch.from_numpy(value if name == "nearest" else value.astype(np.float64))
        for name, value in result.items()
    }


def _scored(
    score: Score | TwoStages,
    queries: Tensor,
    gallery: Tensor,
    groups: Groups,
    first: int,
    instances: bool,
) -> tuple[Tensor, Tensor | None]:
    """Distances (q, G) of a block, columns in the order of groups, and those within its classes.

    The latter are None where they are the same.
    """
    order = torch.from_numpy(groups.order).to(gallery.device)
    if not isinstance(score, TwoStages):
        return score(queries, gallery).detach().float().neg()[:, order], None
    distances = score.ranks(queries, gallery).detach()[:, order]
    if not instances or score.size(len(gallery)) == len(gallery):
        return distances, None
    within = distances.clone()
    for row, start, end in groups.block(first, len(queries)).runs():
        within[row, start:end] = score.ranks(queries[row], gallery[order[start:end]], True).detach()
    return distances, within


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products in fp32, whatever ``torch.set_float32_matmul_precision`` allows in training."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def _check(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor, alike: bool
) -> None:
    if len(queries) == 0 or len(gallery) == 0:
        raise SketchClipError(
            f"Retrieval needs queries and a gallery, found {len(queries)} sketches and "
            f"{len(gallery)} photos."
        )
    for side, states, labels in (
        ("sketches", queries, query_labels),
        ("photos", gallery, gallery_labels),
    ):
        if labels.shape != states.shape[:1]:
            raise SketchClipError(
                f"Expected one label for each of {len(states)} {side}, found labels of shape "
                f"{tuple(labels.shape)}."
            )
    for name, states in (("query", queries), ("photo", gallery)):
        numbers = states if states.is_floating_point() else states.float()
        if all(torch.isfinite(end) for end in numbers.aminmax()):  # NaN spreads to both
            continue
        odd = (~torch.isfinite(states.reshape(len(states), -1))).any(1)
        if odd.any():
            raise SketchClipError(
                f"{int(odd.sum())} embeddings are NaN or infinite, first that of {name} "
                f"{int(odd.nonzero()[0])}. Check the model, or the files given."
            )
    if alike and queries.shape[1:] != gallery.shape[1:]:
        raise SketchClipError(
            f"Embeddings of sketches have shape {tuple(queries.shape[1:])} each, those of photos "
            f"{tuple(gallery.shape[1:])}; they must agree."
        )


def _targets(
    targets: np.ndarray, labels: list[np.ndarray], by_label: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Columns of the targets after the gallery was ordered by label."""
    has = targets >= 0
    if (targets >= len(order)).any():
        raise SketchClipError(
            f"A target names photo {int(targets.max())}; the gallery has {len(order)} photos."
        )
    wrong = np.flatnonzero(has & (labels[1][targets] != labels[0][by_label]))
    if len(wrong):
        query = by_label[wrong[0]]
        raise SketchClipError(
            f"Query {query} is of class {labels[0][query]}, its own photo (gallery position "
            f"{targets[wrong[0]]}) of class {labels[1][targets[wrong[0]]]}."
        )
    return np.where(has, np.argsort(order)[targets], -1)
