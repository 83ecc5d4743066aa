"""Full-gallery retrieval as pure functions: embeddings and labels in, values of each query out.

Queries are ranked in blocks. Neither the matrix of all scores nor a list of pairs is kept; beside
the banks themselves a block takes about ``_BLOCK`` bytes on a CPU.
``torchmetrics.functional.retrieval_*`` is not used: from 1.8 on it ignores every item whose score
is <= 0, which is wrong for cosine similarity.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.metrics.blocks import BlockMetrics
from sketchclip.metrics.counting import BYTES, CountedMetrics, block_bytes
from sketchclip.metrics.fast_ranking import Ranker
from sketchclip.metrics.ranking import Groups
from sketchclip.metrics.score_blocks import ALL, ScoreBlocks, Share, Values
from sketchclip.metrics.two_stages import TwoStages
from sketchclip.metrics.vectors import Score, Similarity

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
    counting: bool | None = None,
    size: int | None = None,
    share: Share = ALL,
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
        counting: Rank by counting, the way of a GPU, or by sorting, that of a CPU; None for the
            way of the device. Both give the same ranks.
        size: Bytes of a block that is ranked by counting; None for half of the device's free
            memory, 2 GB at most.
        share: Part of the queries that this process ranks; all processes must call, and each gets
            all values.

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
    goal = None
    if targets is not None:
        if targets.shape != query_labels.shape:
            raise SketchClipError(
                f"Expected one target for each of {len(queries)} sketches, found "
                f"{tuple(targets.shape)}."
            )
        goal = _targets(np.asarray(targets.cpu())[by_label], labels, by_label, groups.order)
    cuts, shown = (tuple(precision_k), tuple(map_k)), min(nearest, len(gallery))
    bounded = score is None and similarity == "cosine"
    blocks = ScoreBlocks(queries, gallery, by_label, groups, similarity, score, goal is not None)

    def rank_own() -> dict[int, Values]:
        if not (gallery.device.type == "cuda" if counting is None else counting):
            top_k = min(max([0, *map_k, *precision_k]), len(gallery))
            ranker = Ranker(groups, 1.0 if bounded else None)
            metrics = BlockMetrics(groups, goal, *cuts, top_k, ranker, shown)
            return _by_sorting(blocks, metrics, share)
        position = torch.from_numpy(groups.order).to(gallery.device)
        counted = CountedMetrics(groups, goal, *cuts, shown, position, bounded)
        return _by_counting(blocks, counted, share, size or block_bytes(gallery.device))

    parts = [values for _, values in sorted(share.gather(rank_own).items())]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    back = np.argsort(by_label, kind="stable")
    result = {name: values[back] for name, values in rows.items()}
    if goal is not None:
        for k in accuracy_k:
            for scope in ("", "_all"):
                rank = result[f"rank{scope}"]
                result[f"Acc@{k}{scope}"] = np.where(np.isnan(rank), np.nan, rank <= k)
    return {
        name: torch.from_numpy(value if name == "nearest" else value.astype(np.float64))
        for name, value in result.items()
    }


def _by_sorting(blocks: ScoreBlocks, measure: BlockMetrics, share: Share) -> dict[int, Values]:
    """Values of the blocks of a process on the CPU, whose threads share each block."""
    threads = torch.get_num_threads()
    found: dict[int, Values] = {}
    with ThreadPoolExecutor(threads) as pool:
        for first in blocks.starts(_BLOCK, 4, share):
            distances, within = blocks.scores(first)
            # From a GPU that has no numbers of 64 bits, such as Apple's.
            distances, within = distances.cpu(), None if within is None else within.cpu()
            each = -(-len(distances) // threads)
            starts = range(0, len(distances), each)
            parts = [distances[a : a + each] for a in starts]
            owns = [None if within is None else within[a : a + each] for a in starts]
            try:
                done = list(pool.map(measure, parts, (first + a for a in starts), owns))
            except ValueError as error:
                raise blocks.error(error.args[1]) from error
            found[first] = {name: np.concatenate([one[name] for one in done]) for name in done[0]}
    return found


def _by_counting(
    blocks: ScoreBlocks, measure: CountedMetrics, share: Share, size: int
) -> dict[int, Values]:
    """Values of the blocks of a process on the device of the states, copied from it once."""
    made: dict[int, dict[str, Tensor]] = {}
    for first in blocks.starts(size, BYTES, share):
        distances, within = blocks.scores(first)
        made[first] = measure(distances, first, within)
    if not made:
        return {}
    joined = {name: torch.cat([part[name] for part in made.values()]) for name in made[first]}
    names = [name for name, values in joined.items() if values.dtype == torch.float64]
    numbers = torch.stack([joined[name] for name in names]).cpu().numpy()
    columns = dict(zip(names, numbers, strict=True))
    columns |= {name: np.asarray(joined[name].cpu()) for name in joined if name not in columns}
    found: dict[int, Values] = {}
    start = 0
    for first, part in made.items():
        rows = slice(start, start := start + len(part["mAP@all"]))
        found[first] = {name: values[rows] for name, values in columns.items()}
        odd = np.flatnonzero(found[first].pop("odd", np.zeros(0)))
        if len(odd):
            raise blocks.error(first + int(odd[0]))
    return found


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
