"""Choice of the queries of a test that a picture shows."""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

Pick = Literal["best", "worst", "most_improved", "quantiles", "random"]


def choose(
    scores: Sequence[np.ndarray], classes: Sequence[Hashable], pick: Pick, count: int, seed: int
) -> list[int]:
    """Choose queries: ties in random order, no two of a class while there are others.

    Args:
        scores: Scores of the run and perhaps of the baseline, higher is better, each (Q,).
        classes: Class of each query.
        pick: Kind of queries; ``quantiles`` are the middles of ``count`` equal parts of all
            queries, from the greatest to the least gain over the baseline, else by score.
        count: Number of queries at most.
        seed: Seed of random choices.

    >>> choose([np.array([.1, .9, .8])], ["cat", "dog", "dog"], "best", 2, 0)
    [1, 0]
    """
    rng = np.random.default_rng(seed)
    key = {
        "best": lambda: -scores[0],
        "worst": lambda: scores[0],
        "most_improved": lambda: scores[-1] - scores[0],
        "quantiles": lambda: (scores[1] if scores[1:] else 0) - scores[0],
        "random": lambda: np.zeros(len(classes)),
    }[pick]()
    order = np.lexsort((rng.random(len(key)), np.nan_to_num(key, nan=np.inf)))
    if pick == "quantiles":
        return _middles(order[: int((~np.isnan(key)).sum())].tolist(), classes, count)
    first: dict[Hashable, int] = {}
    for at in order:
        first.setdefault(classes[at], int(at))
    chosen = dict.fromkeys([*first.values(), *order.tolist()])  # each query once
    return [*chosen][:count]


def _middles(order: list[int], classes: Sequence[Hashable], count: int) -> list[int]:
    """Choose the middle of each of ``count`` equal parts, or the nearest of another class."""
    count = min(count, len(order))
    free, used = set(range(len(order))), set[Hashable]()
    chosen = []
    for part in range(count):
        middle = (part + 0.5) / count * len(order) - 0.5
        near = min(free, key=lambda rank: (classes[order[rank]] in used, abs(rank - middle), rank))
        free.remove(near)
        used.add(classes[order[near]])
        chosen.append(near)
    return [order[rank] for rank in sorted(chosen)]
