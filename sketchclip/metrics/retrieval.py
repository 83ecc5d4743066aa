"""torchmetrics classes: an embedding bank that is ranked once, at the end of the epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sketchclip.metrics.functional import (
    chance_average_precision,
    cosine_scores,
    retrieval_scores,
)

SIDES = ("query", "gallery")


class CategoryRetrieval(Metric):
    """Category-level retrieval over the full gallery (mAP@all, mAP@k strict, P@k).

    Both sides are kept as banks of states and labels; nothing of size queries x gallery is. Across
    processes the banks are gathered and the padding duplicates of a distributed sampler are removed
    by dataset index, so any number of processes gives the result of one.

    Args:
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k, strict: divided by min(relevant, k).
        score: Maps queries (q, ...) and gallery (G, ...) to scores (q, G); cosine by default.
        prefix: Put before each name in the result, for example ``"test/"``.

    Example:
        >>> metric = CategoryRetrieval(precision_k=[1], map_k=[])
        >>> metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2), side="gallery")
        >>> metric.update(torch.tensor([[1., 0.], [.9, .1]]), torch.tensor([0, 1]), torch.arange(2))
        >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
        {'mAP@all': 0.75, 'P@1': 0.5, 'chance_mAP@all': 0.75}
    """

    higher_is_better = True
    full_state_update = False

    def __init__(
        self,
        precision_k: Sequence[int] = (100, 200),
        map_k: Sequence[int] = (200,),
        score: Callable[[Tensor, Tensor], Tensor] = cosine_scores,
        prefix: str = "",
        **metric_options: Any,
    ) -> None:
        super().__init__(**metric_options)
        self.precision_k = tuple(precision_k)
        self.map_k = tuple(map_k)
        self.score = score
        self.prefix = prefix
        self.partial = False  # set where only a part of the gallery was loaded (debug runs)
        for side in SIDES:
            for part in ("states", "labels", "index"):
                self.add_state(f"{side}_{part}", default=[], dist_reduce_fx="cat")

    def update(self, states: Tensor, labels: Tensor, index: Tensor, side: str = "query") -> None:
        """Add a batch to one side.

        Args:
            states: Embeddings or whatever ``score`` compares, shape (B, ...).
            labels: Class ids, shape (B,).
            index: Position of each image in its dataset, shape (B,); identifies duplicates.
            side: ``"query"`` (sketches) or ``"gallery"`` (photos).
        """
        getattr(self, f"{side}_states").append(states.detach().float())
        getattr(self, f"{side}_labels").append(labels)
        getattr(self, f"{side}_index").append(index)

    def bank(self, side: str) -> tuple[Tensor, Tensor, Tensor]:
        """States, labels and indices of one side, each image once, in dataset order."""
        states, labels, index = (
            dim_zero_cat(getattr(self, f"{side}_{part}")) for part in ("states", "labels", "index")
        )
        order = torch.argsort(index, stable=True)
        index = index[order]
        first = torch.ones_like(index, dtype=torch.bool)
        first[1:] = index[1:] != index[:-1]
        keep = order[first]
        return states[keep], labels[keep], index[first]

    def compute(self) -> dict[str, Tensor]:
        """Mean over queries of each metric, and the expected mAP@all of a random ranking."""
        queries, query_labels, _ = self.bank("query")
        gallery, gallery_labels, _ = self.bank("gallery")
        if self.partial:
            answered = torch.isin(query_labels, gallery_labels)
            queries, query_labels = queries[answered], query_labels[answered]
            if len(queries) == 0:
                return {}
        per_query = retrieval_scores(
            queries,
            query_labels,
            gallery,
            gallery_labels,
            self.precision_k,
            self.map_k,
            self.score,
        )
        result = {name: values.mean().float() for name, values in per_query.items()}
        chance = 0.0
        for label, count in zip(*query_labels.unique(return_counts=True), strict=True):
            relevant = int((gallery_labels == label).sum())
            chance += int(count) * chance_average_precision(relevant, len(gallery))
        result["chance_mAP@all"] = torch.tensor(chance / len(queries), device=queries.device)
        return {self.prefix + name: value for name, value in result.items()}
