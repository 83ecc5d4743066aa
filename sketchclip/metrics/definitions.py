"""Retrieval metrics from the ranks of relevant photos, one value a query.

For one query: R relevant photos among G, rel(i) = 1 if the photo at rank i is relevant,
P(i) = hits among the first i / i, S_k = sum over i <= k of P(i) rel(i), r_k = hits among the
first k.

=============  ==================================  ==================================
name           definition                          used by
=============  ==================================  ==================================
``strict``     AP@k = S_k / min(R, k)              CVAE, IIAE; the headline here
``voc``        strict with P(i) replaced by the    SAKE, DSN, TCN, TVT, ZSE-SBIR
               maximum of P(j), i <= j <= k
``prefix``     AP@k = S_k / max(1, r_k)            SEM-PCYC, torchmetrics' ``top_k``
all            AP = S_G / R                        the released code of the paper
=============  ==================================  ==================================

P@k = r_k / k, also where R < k or G < k: a class of fewer than k photos cannot reach 1. ZSE-SBIR
and MA-SBIR report r_m / m with m = min(k, R), here ``P@k_relevant``.

In generalised retrieval with queries of both kinds, a name alone is the mean over the queries of
unseen classes, ``seen_`` that over those of seen classes in the same gallery, and ``H_`` the
harmonic mean of the two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Queries = Literal["unseen", "seen", "H"]
DEFINITIONS = ("strict", "voc", "prefix")
DEFINITION = (
    "mean over queries; mAP@k strict: sum of precision at hits in the top k / min(relevant, k); "
    "_voc and _prefix: docs/evaluation.md; P@k: hits / k; Acc@q: own photo among the first q of "
    "its class, _all: of the gallery, _macro: mean over classes; ties in the order of the gallery"
)
"""What the figures of a test are, in the words of its metrics.json."""


def average_precision_all(ranks: np.ndarray, count: np.ndarray) -> np.ndarray:
    """AP over the whole gallery.

    Args:
        ranks: Ranks of the relevant photos from 1, ascending within a query, one query after the
            other, shape (sum of count,).
        count: Relevant photos of each query, R, shape (q,).

    Returns:
        fp64, shape (q,); NaN where R = 0.

    >>> average_precision_all(np.array([1, 3, 4]), np.array([3]))  # (1 + 2/3 + 3/4) / 3
    array([0.80555556])
    """
    ends = np.cumsum(count)
    number = np.arange(1, len(ranks) + 1) - np.repeat(ends - count, count)
    sums = np.zeros(len(count))
    filled = count > 0
    if filled.any():  # reduceat would give an empty query its neighbour's first value
        sums[filled] = np.add.reduceat(number / ranks, (ends - count)[filled])
    with np.errstate(invalid="ignore"):
        return sums / np.where(filled, count, np.nan)


def relevance_at_the_top(ranks: np.ndarray, count: np.ndarray, k: int) -> np.ndarray:
    """Relevance of the first k ranks.

    Args:
        ranks: See :func:`average_precision_all`.
        count: See there.
        k: Ranks wanted.

    Returns:
        bool, shape (q, k); ranks beyond the gallery are not relevant.

    >>> relevance_at_the_top(np.array([1, 3, 2]), np.array([2, 1]), 3).astype(int)
    array([[1, 0, 1],
           [0, 1, 0]])
    """
    top = np.zeros((len(count), k), dtype=bool)
    row = np.repeat(np.arange(len(count)), count)
    inside = ranks <= k
    top[row[inside], ranks[inside] - 1] = True
    return top


def average_precisions_at(top: np.ndarray, count: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """AP@k in every definition of this module's table.

    Args:
        top: Relevance in rank order, shape (q, at least k).
        count: R of each query, shape (q,).
        k: Cut-off.

    Returns:
        Each of ``DEFINITIONS`` to fp64, shape (q,); NaN where R = 0.

    >>> top, count = np.array([[0, 1, 1, 0]], dtype=bool), np.array([5])
    >>> found = average_precisions_at(top, count, 4)  # P = 1/2, 2/3: the envelope lifts the first
    >>> {name: round(float(value[0]), 4) for name, value in found.items()}
    {'strict': 0.2917, 'voc': 0.3333, 'prefix': 0.5833}
    """
    relevant = top[:, :k]
    hits = np.cumsum(relevant, axis=1, dtype=np.int32)
    precision = relevant * hits / np.arange(1, relevant.shape[1] + 1)
    most = np.where(count > 0, np.minimum(count, k), np.nan)
    found = np.where(count > 0, np.maximum(1, relevant.sum(1)), np.nan)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    lifted, sums = (envelope * relevant).sum(1), precision.sum(1)
    return {"strict": sums / most, "voc": lifted / most, "prefix": sums / found}


def precision_at(top: np.ndarray, k: int) -> np.ndarray:
    """P@k = hits among the first k / k.

    Args:
        top: Relevance in rank order, shape (q, at least k).
        k: Cut-off.

    Returns:
        fp64, shape (q,).
    """
    return top[:, :k].sum(1) / k


def precision_at_relevant(top: np.ndarray, count: np.ndarray, k: int) -> np.ndarray:
    """Hits among the first m / m, m = min(k, R): a class of fewer than k photos can reach 1.

    Args:
        top: Relevance in rank order, shape (q, at least k, or the gallery).
        count: R of each query, shape (q,).
        k: Cut-off.

    Returns:
        fp64, shape (q,); NaN where R = 0.

    >>> top = np.array([[1, 1, 0, 0]], dtype=bool)
    >>> precision_at(top, 4), precision_at_relevant(top, np.array([2]), 4)
    (array([0.5]), array([1.]))
    """
    most = np.minimum(count, k)
    hits = (top & (np.arange(top.shape[1]) < most[:, None])).sum(1)
    return np.asarray(hits / np.where(count > 0, most, np.nan))


def harmonic_mean(unseen: float, seen: float) -> float:
    """H = 2 u s / (u + s) of a metric of unseen and seen classes; 0 where both are 0.

    >>> round(harmonic_mean(0.3, 0.6), 6), harmonic_mean(0.0, 0.9), harmonic_mean(0.0, 0.0)
    (0.4, 0.0, 0.0)
    """
    return 2 * unseen * seen / (unseen + seen) if unseen + seen else 0.0


def of_queries(name: str, queries: str) -> str:
    """Name of a metric of other queries: ``seen`` or ``H``.

    >>> of_queries("mAP@all", "seen"), of_queries("chance_mAP@all", "H")
    ('seen_mAP@all', 'chance_H_mAP@all')
    """
    chance, plain = ("chance_", name[7:]) if name.startswith("chance_") else ("", name)
    return f"{chance}{queries}_{plain}"


def definition_names(map_k: Sequence[int]) -> list[str]:
    """Names of AP@k under each definition; the headline has no suffix.

    >>> definition_names([200])
    ['mAP@200', 'mAP@200_voc', 'mAP@200_prefix']
    """
    suffix = {"strict": ""}
    return [f"mAP@{k}{suffix.get(d, '_' + d)}" for k in map_k for d in DEFINITIONS]


@dataclass(frozen=True)
class MetricInfo:
    """Facts about a metric that reports, tables and plots show.

    Attributes:
        label: Head of its column.
        meaning: Definition in a few words, ``{}`` for the cut-off.
        scope: category counts photos of the class; class and all look for the sketch's own photo,
            among the photos of its class or among all.
        quoted: Whether papers quote it, unlike other definitions and means over classes.
        chance: Whether it is the level of a random ranking.
        queries: Which queries of a generalised test it is of: unseen (every query of any other
            test), seen, or H for the harmonic mean of both.
    """

    label: str
    meaning: str
    scope: Literal["category", "class", "all"] = "category"
    quoted: bool = True
    chance: bool = False
    queries: Queries = "unseen"


METRICS = {
    "mAP@all": MetricInfo("mAP@all", "mean average precision over the whole ranking"),
    "mAP@{}": MetricInfo(
        "mAP@{} (strict)",
        "mean average precision, strict: precision at hits in the top {0} / min(R, {0})",
    ),
    "mAP@{}_voc": MetricInfo(
        "mAP@{} (voc)", "interpolated mean average precision of the top {}", quoted=False
    ),
    "mAP@{}_prefix": MetricInfo(
        "mAP@{} (prefix)", "mean average precision of the top {} / hits among them", quoted=False
    ),
    "P@{}": MetricInfo("P@{}", "relevant photos among the first {}"),
    "P@{}_relevant": MetricInfo(
        "P@{} (relevant)", "relevant photos among the first min(relevant, {})", quoted=False
    ),
    "Acc@{}": MetricInfo(
        "Acc@{} (class gallery)", "own photo among the first {} of the photos of its class", "class"
    ),
    "Acc@{}_all": MetricInfo(
        "Acc@{} (all photos)", "own photo among the first {} of all photos", "all"
    ),
}
"""Every metric by its name, ``{}`` for the cut-off; higher is better for all of them."""

_QUERIES: dict[Queries, str] = {
    "unseen": "queries of unseen classes",
    "seen": "queries of seen classes",
    "H": "harmonic mean of queries of unseen and of seen classes",
}


def metric_info(name: str) -> MetricInfo:
    """Facts about a metric by its full name.

    Args:
        name: Such as ``P@100``, ``Acc@1_macro`` or ``chance_mAP@all``.

    Returns:
        The entry of ``METRICS`` with its cut-off filled in; for an unknown name its own label.

    >>> metric_info("P@100").meaning, metric_info("Acc@1").meaning
    ('relevant photos among the first 100', 'own photo first among the photos of its class')
    >>> metric_info("H_mAP@all").label, metric_info("seen_P@100").label
    ('H mAP@all', 'seen P@100')
    """
    own = name.removeprefix("chance_")
    kind: Queries = next((kind for kind in _QUERIES if own.startswith(f"{kind}_")), "unseen")
    own = own.removeprefix(f"{kind}_")
    plain = own.removesuffix("_macro")
    cut = re.search(r"@(\d+)", plain)
    pattern = plain.replace(cut[1], "{}", 1) if cut else plain
    known = METRICS.get(pattern, MetricInfo(name, "see the documentation of evaluation"))
    label, meaning = (text.format(cut[1] if cut else "") for text in (known.label, known.meaning))
    if pattern in METRICS and kind != "unseen":
        label, meaning = f"{kind} {label}", f"{meaning}; {_QUERIES[kind]}"
    return replace(
        known,
        label=label,
        meaning=meaning.replace("among the first 1 of", "first among"),
        quoted=known.quoted and plain == own and not name.startswith("chance_"),
        chance=name.startswith("chance_"),
        queries=kind,
    )
