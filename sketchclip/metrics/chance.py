"""Chance levels: expected metrics of a random order of the gallery, printed beside results."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


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
    harmonic = float((1.0 / np.arange(1, gallery + 1)).sum())
    slope = (relevant - 1) / (gallery - 1)
    return (harmonic + slope * (gallery - harmonic)) / gallery


def chance_levels(
    labels: Tensor, gallery_labels: Tensor, targets: Tensor | None, accuracy_k: Sequence[int]
) -> dict[str, Tensor]:
    """Chance of a whole evaluation: classes weighted by their queries.

    Args:
        labels: Class of each query, (Q,); each occurs in the gallery.
        gallery_labels: Class of each photo, (G,).
        targets: Gallery position of each query's own photo, -1 for none; None at category level.
        accuracy_k: Cut-offs of Acc@q.

    Returns:
        ``chance_mAP@all`` and, with targets, ``chance_Acc@q`` and ``chance_Acc@q_all``.
    """
    size = len(gallery_labels)
    classes, counts = gallery_labels.unique(return_counts=True)
    relevant = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    level = {name: chance_average_precision(r, size) for name, r in relevant.items()}
    result = {"chance_mAP@all": torch.tensor([level[c] for c in labels.tolist()]).mean()}
    if targets is not None:
        photos = torch.tensor([relevant[c] for c in labels[targets >= 0].tolist()]).double()
        for k in accuracy_k:
            result[f"chance_Acc@{k}"] = (k / photos).clamp(max=1).mean()
            result[f"chance_Acc@{k}_all"] = torch.tensor(min(1.0, k / size))
    return result
