"""Category-level retrieval metrics over a full gallery, as pure functions.

Definitions (R: relevant photos of a query; S_k: sum of precision at the relevant ranks <= k):
mAP@all = mean over queries of S_G / R; mAP@k ``strict`` = mean of S_k / min(R, k); P@k = mean of
hits in the first k / k. Queries without any relevant photo in the gallery are an error, not a zero.
``torchmetrics.functional.retrieval_*`` is not used: from 1.8 on it ignores every item whose score
is <= 0, which is wrong for cosine similarity.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchclip.errors import SketchClipError


def cosine_scores(queries: Tensor, gallery: Tensor) -> Tensor:
    """Cosine similarity of every query with every photo.

    Args:
        queries: Shape (Q, D).
        gallery: Shape (G, D).

    Returns:
        fp32 scores, shape (Q, G); higher is nearer.
    """
    return F.normalize(queries.float(), dim=-1) @ F.normalize(gallery.float(), dim=-1).T


def rank_relevance(scores: Tensor, relevant: Tensor) -> Tensor:
    """Relevance of the gallery in the order of descending score; ties keep the gallery's order.

    Args:
        scores: Shape (Q, G).
        relevant: Shape (Q, G), bool.

    Returns:
        Shape (Q, G), bool: entry (q, i) says whether the photo at rank i + 1 is relevant to q.

    >>> scores, relevant = torch.tensor([[-.5, -.1, -.1]]), torch.tensor([[True, False, True]])
    >>> rank_relevance(scores, relevant).tolist()
    [[False, True, True]]
    """
    order = torch.argsort(scores, dim=1, descending=True, stable=True)
    return relevant.gather(1, order)


def average_precision(ranked: Tensor, k: int | None = None) -> Tensor:
    """Average precision of each query, ``strict`` at k: S_k / min(R, k).

    Args:
        ranked: Relevance in rank order, shape (Q, G), bool.
        k: Cut-off; ``None`` for the whole gallery.

    Returns:
        fp64 values in [0, 1], shape (Q,).

    >>> average_precision(torch.tensor([[True, False, True, True]])).item()  # (1 + 2/3 + 3/4) / 3
    0.8055555555555555
    >>> average_precision(torch.tensor([[True, False, True, False]]), k=2).item()  # 1 / 2
    0.5
    """
    total = ranked.sum(1, dtype=torch.float64)
    top = ranked[:, :k].to(torch.float64)
    ranks = torch.arange(1, top.shape[1] + 1, device=top.device, dtype=torch.float64)
    precision_at_hits = (top.cumsum(1) / ranks * top).sum(1)
    return precision_at_hits / total.clamp(max=float(k) if k is not None else torch.inf)


def precision_at(ranked: Tensor, k: int) -> Tensor:
    """Fraction of the first k photos that is relevant; a gallery shorter than k counts as k.

    Args:
        ranked: Relevance in rank order, shape (Q, G), bool.
        k: Cut-off.

    Returns:
        fp64 values in [0, 1], shape (Q,).
    """
    return ranked[:, :k].sum(1, dtype=torch.float64) / k


def retrieval_scores(
    queries: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    precision_k: Sequence[int] = (100, 200),
    map_k: Sequence[int] = (200,),
    score: Callable[[Tensor, Tensor], Tensor] = cosine_scores,
    chunk: int = 512,
) -> dict[str, Tensor]:
    """Per-query metrics from one ranking pass, chunked over queries.

    Args:
        queries: Query states, shape (Q, ...).
        query_labels: Class of each query, shape (Q,).
        gallery: Gallery states, shape (G, ...).
        gallery_labels: Class of each photo, shape (G,).
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k (strict).
        score: Maps a block of queries and the gallery to scores (q, G), higher is nearer.
        chunk: Queries ranked at a time.

    Returns:
        ``mAP@all``, ``mAP@<k>`` and ``P@<k>`` for each cut-off, each of shape (Q,), fp64.

    Raises:
        SketchClipError: If a side is empty or a query has no relevant photo in the gallery.
    """
    if len(queries) == 0 or len(gallery) == 0:
        raise SketchClipError(
            f"Retrieval needs queries and a gallery, found {len(queries)} sketches and "
            f"{len(gallery)} photos."
        )
    lonely = set(query_labels.tolist()) - set(gallery_labels.tolist())
    if lonely:
        raise SketchClipError(
            f"Queries of class ids {sorted(lonely)[:10]} have no photo in the gallery; their "
            "average precision is undefined. Remove these classes from the split."
        )
    rows: dict[str, list[Tensor]] = {}
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        relevant = query_labels[part, None] == gallery_labels[None, :]
        ranked = rank_relevance(score(queries[part], gallery), relevant)
        rows.setdefault("mAP@all", []).append(average_precision(ranked))
        for k in map_k:
            rows.setdefault(f"mAP@{k}", []).append(average_precision(ranked, k))
        for k in precision_k:
            rows.setdefault(f"P@{k}", []).append(precision_at(ranked, k))
    return {name: torch.cat(values) for name, values in rows.items()}


def chance_average_precision(relevant: int, gallery: int) -> float:
    r"""Expected average precision of a random ranking.

    With R relevant photos among G, a photo at rank i is relevant with probability R/G, and given
    that, each of the i - 1 photos before it is with probability (R-1)/(G-1). Hence
    E[AP] = (1/G) \sum_i (1 + (i-1)(R-1)/(G-1)) / i.

    Args:
        relevant: R, at least 1.
        gallery: G, at least R.

    Returns:
        Expected AP in (0, 1].

    >>> chance_average_precision(1, 2)  # the one relevant photo comes first or second
    0.75
    """
    if gallery == 1:
        return 1.0
    harmonic = sum(1.0 / rank for rank in range(1, gallery + 1))
    slope = (relevant - 1) / (gallery - 1)
    return (harmonic + slope * (gallery - harmonic)) / gallery
