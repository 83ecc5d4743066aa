"""Generalised retrieval: queries of unseen and of seen classes in one gallery, and their H."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sketchclip.metrics.definitions import harmonic_mean, of_queries
from sketchclip.metrics.retrieval import InstanceRetrieval


class GeneralizedRetrieval(InstanceRetrieval):
    """Measures queries of seen classes apart, and the harmonic mean of both kinds.

    A name alone is a mean over the queries of unseen classes, as in the test without the others:
    queries do not change each other's ranking. ``seen_`` is the mean over those of seen classes in
    the same gallery, ``H_`` the harmonic mean of the two, which is high only where both are.
    Without queries of seen classes the result is that of :class:`InstanceRetrieval`.

    Args:
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k.
        accuracy_k: Cut-offs of Acc@q.
        seen: Labels of the seen classes.
        **options: Further arguments of :class:`InstanceRetrieval`.

    Example:
        >>> metric = GeneralizedRetrieval(precision_k=[1], map_k=[], seen=[1])
        >>> metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2), side="gallery")
        >>> metric.update(torch.tensor([[1., 0.], [.9, .1]]), torch.tensor([0, 1]), torch.arange(2))
        >>> result = metric.compute()
        >>> {name: round(result[f"{name}mAP@all"].item(), 3) for name in ("", "seen_", "H_")}
        {'': 1.0, 'seen_': 0.5, 'H_': 0.667}
    """

    def __init__(
        self,
        precision_k: Sequence[int] = (100, 200),
        map_k: Sequence[int] = (200,),
        accuracy_k: Sequence[int] = (1, 5, 10),
        seen: Sequence[int] = (),
        **options: Any,
    ) -> None:
        super().__init__(precision_k, map_k, accuracy_k, **options)
        self.seen = tuple(seen)

    def _average(
        self,
        values: dict[str, Tensor],
        labels: Tensor,
        gallery_labels: Tensor,
        targets: Tensor | None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Average each kind of queries apart; a value is NaN for queries of the other kind."""
        of_seen = torch.isin(labels, torch.tensor(self.seen, dtype=labels.dtype))
        if not of_seen.any():
            return super()._average(values, labels, gallery_labels, targets)
        means: dict[str, dict[str, Tensor]] = {"unseen": {}, "seen": {}}
        ranks = {name: value for name, value in values.items() if name.startswith("rank")}
        apart = dict(ranks)
        for kind, rows in (("unseen", ~of_seen), ("seen", of_seen)):
            for name in [name for name in values if name not in ranks]:
                shown = name if kind == "unseen" else of_queries(name, kind)
                apart[shown] = values[name].where(rows, torch.nan)
            # Photos of one's own may be known for one kind alone, and a part of the data may hold
            # one kind alone.
            own = {n: v[rows] for n, v in values.items() if not v[rows].isnan().all()}
            goals = targets[rows] if targets is not None and (targets[rows] >= 0).any() else None
            if rows.any():
                means[kind], _ = super()._average(own, labels[rows], gallery_labels, goals)
        result = dict(means["unseen"])
        for name, seen in means["seen"].items():
            result[of_queries(name, "seen")] = seen
            if name in means["unseen"]:
                h = harmonic_mean(float(result[name]), float(seen))
                result[of_queries(name, "H")] = torch.tensor(h, dtype=seen.dtype)
        return result, apart
