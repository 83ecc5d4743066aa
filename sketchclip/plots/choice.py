"""Choice of the queries of a test that a picture shows."""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

Pick = Literal["best", "worst", "most_improved", "random"]


def choose(
    scores: Sequence[np.ndarray], classes: Sequence[Hashable], pick: Pick, count: int, seed: int
) -> list[int]:
    """Choose queries: ties in random order, no two of a class while there are others.

    Args:
        scores: Scores of the run and perhaps of the baseline, higher is better, each (Q,).
        classes: Class of each query.
        pick: Kind of queries.
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
        "random": lambda: np.zeros(len(classes)),
    }[pick]()
    order = np.lexsort((rng.random(len(key)), np.nan_to_num(key, nan=np.inf)))
    first: dict[Hashable, int] = {}
    for at in order:
        first.setdefault(classes[at], int(at))
    chosen = dict.fromkeys([*first.values(), *order.tolist()])  # each query once
    return [*chosen][:count]
