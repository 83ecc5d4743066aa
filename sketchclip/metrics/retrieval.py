"""torchmetrics classes: an embedding bank that is ranked once, at the end of the epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sketchclip.errors import SketchClipError
from sketchclip.metrics.banks import first_of_each, own_photos
from sketchclip.metrics.chance import chance_levels
from sketchclip.metrics.definitions import metric_info
from sketchclip.metrics.functional import retrieval_scores
from sketchclip.metrics.results import RetrievalResults
from sketchclip.metrics.score_blocks import ALL, Share
from sketchclip.metrics.two_stages import TwoStages
from sketchclip.metrics.vectors import Score, Similarity

ROLES = ("query", "gallery")
PARTS = ("states", "labels", "index", "instances")


class CategoryRetrieval(Metric):
    """Category-level retrieval over the full gallery: mAP@all, mAP@k, P@k.

    Both sides are kept as banks of states, labels, instances and dataset indices; nothing of size
    queries x gallery is. Across processes the banks are gathered, the padding duplicates of a
    distributed sampler are removed by dataset index and each side is put in dataset order, so any
    number of processes, batch size and order gives the result of one pass. A process may have no
    image at all.

    Args:
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k, in the definitions of :mod:`sketchclip.metrics.definitions`; the
            one without a suffix is strict.
        similarity: cosine, euclidean or hamming.
        score: In place of a similarity; see ``retrieval_scores`` in
            :mod:`sketchclip.metrics.functional`. ``TwoStages`` for a shortlist.
        prefix: Put before each name in the result, for example ``"test/"``.
        dtype: Type that states are kept in; half precision for large ones.

    Example:
        >>> metric = CategoryRetrieval(precision_k=[1], map_k=[])
        >>> metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2), side="gallery")
        >>> metric.update(torch.tensor([[1., 0.], [.9, .1]]), torch.tensor([0, 1]), torch.arange(2))
        >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
        {'mAP@all': 0.75, 'P@1': 0.5, 'P@1_relevant': 0.5, 'chance_mAP@all': 0.75}
    """

    higher_is_better = True
    full_state_update = False
    accuracy_k: tuple[int, ...] = ()

    def __init__(
        self,
        precision_k: Sequence[int] = (100, 200),
        map_k: Sequence[int] = (200,),
        similarity: Similarity = "cosine",
        score: Score | TwoStages | None = None,
        prefix: str = "",
        dtype: torch.dtype = torch.float32,
        **metric_options: Any,
    ) -> None:
        super().__init__(**metric_options)
        self.precision_k = tuple(precision_k)
        self.map_k = tuple(map_k)
        self.similarity: Similarity = similarity
        self.score = score
        self.prefix = prefix
        self.kept_as = dtype  # Metric has a dtype of its own
        for name in (f"{side}_{part}" for side in ROLES for part in PARTS):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        states: Tensor,
        labels: Tensor,
        index: Tensor,
        side: str = "query",
        instances: Tensor | None = None,
    ) -> None:
        """Add a batch to one side.

        Args:
            states: Embeddings or whatever ``score`` compares, shape (B, ...).
            labels: Class ids, shape (B,).
            index: Position of each image in its dataset, shape (B,); identifies duplicates.
            side: ``"query"`` (sketches) or ``"gallery"`` (photos).
            instances: Photo that each image shows, a number that both sides share; -1 for none.

        Raises:
            ValueError: If the side is neither.
        """
        if side not in ROLES:
            raise ValueError(f"side is 'query' or 'gallery', got {side!r}")
        if instances is None:
            instances = torch.full_like(labels, -1, dtype=torch.long)
        # Processes gather tensors of one type, also from a process without images.
        batch = (states.detach().to(self.kept_as), labels.long(), index.long(), instances.long())
        for part, value in zip(PARTS, batch, strict=True):
            getattr(self, f"{side}_{part}").append(value)

    def sync(
        self,
        dist_sync_fn: Callable | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        distributed_available: Callable | None = None,
    ) -> None:
        """Gather the banks of all processes; a process without images takes part with none."""
        if should_sync and dist.is_available() and dist.is_initialized():
            group = process_group or self.process_group
            # torchmetrics would send a 1-D tensor for an empty list, and gloo aborts on it.
            for side in ROLES:
                own = getattr(self, f"{side}_states")
                shapes: list[Any] = [None] * dist.get_world_size(group)
                shape = tuple(own[0].shape[1:]) if len(own) else None
                dist.all_gather_object(shapes, shape, group=group)
                if not len(own) and (known := [shape for shape in shapes if shape is not None]):
                    none = torch.empty(0, dtype=torch.long, device=self.device)
                    states = torch.empty(0, *known[0], dtype=self.kept_as, device=self.device)
                    setattr(self, f"{side}_states", [states])
                    for part in PARTS[1:]:
                        setattr(self, f"{side}_{part}", [none])
        super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def bank(self, side: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States, labels, indices and instances of one side, each image once, by dataset index."""
        parts = [getattr(self, f"{side}_{part}") for part in PARTS]
        if not len(parts[0]):
            nothing = torch.empty(0, dtype=torch.long, device=self.device)
            return torch.empty(0, 0, device=self.device), nothing, nothing, nothing
        states, labels, index, instances = (dim_zero_cat(part) for part in parts)
        keep = first_of_each(index)
        if keep is None:  # states may be large
            return states, labels, index, instances
        return states[keep], labels[keep], index[keep], instances[keep]

    def compute(self) -> dict[str, Tensor]:
        """Mean over queries of each metric, and the level of a random ranking.

        Returns:
            Scalars by name. Names ending in ``_macro`` are means over classes of class means.

        Raises:
            SketchClipError: If a class of queries has no photo in the gallery.
        """
        metrics = self._rank(first=0, partial=False).metrics
        return {self.prefix + name: torch.tensor(value) for name, value in metrics.items()}

    def results(self, first: int = 0, partial: bool = False) -> RetrievalResults:
        """Rank once, with all processes, and give everything that is known of the ranking.

        Args:
            first: Photos of each query to name.
            partial: Whether only a part of the gallery was loaded (debug runs): queries without
                any relevant photo are then left out instead of being an error.

        Returns:
            The results, the same in every process.

        Raises:
            SketchClipError: If a class of queries has no photo in the gallery.
        """
        with self.sync_context():
            return self._rank(first, partial)

    def _rank(self, first: int, partial: bool) -> RetrievalResults:
        queries, labels, index, instances = self.bank("query")
        gallery, gallery_labels, gallery_index, gallery_instances = self.bank("gallery")
        answered = torch.isin(labels, gallery_labels)
        if partial:
            queries, labels, index, instances = (
                x[answered] for x in (queries, labels, index, instances)
            )
            if len(queries) == 0:
                nothing = np.zeros(0, np.int64)
                none = nothing.reshape(0, first)
                return RetrievalResults({}, {}, nothing, nothing, none, none, None, True)
        elif len(gallery) and not answered.all():
            unanswered = labels[~answered].unique().tolist()
            raise SketchClipError(
                f"Queries of class ids {unanswered[:10]} have no photo in the gallery; their "
                "average precision is undefined. Remove these classes from the split."
            )
        targets = self._targets(instances, gallery_instances)
        values = retrieval_scores(
            queries,
            labels,
            gallery,
            gallery_labels,
            self.precision_k,
            self.map_k,
            self.accuracy_k,
            targets,
            self.similarity,
            self.score,
            first,
            share=self._share(),
        )
        photos, classes_of = gallery_index.cpu().numpy(), gallery_labels.cpu().numpy()
        nearest = values.pop("nearest", torch.zeros(len(queries), 0, dtype=torch.long)).numpy()
        own = None
        if targets is not None:
            own = np.where(targets.numpy() >= 0, photos[targets.numpy()], -1)
        means, values = self._average(values, labels.cpu(), gallery_labels.cpu(), targets)
        return RetrievalResults(
            metrics={name: float(value.float()) for name, value in means.items()},
            values={name: value.numpy() for name, value in values.items()},
            index=index.cpu().numpy(),
            labels=labels.cpu().numpy(),
            first=photos[nearest],
            first_labels=classes_of[nearest],
            own=own,
            partial=partial,
            ranking=self.score.describe(len(gallery))
            if isinstance(self.score, TwoStages)
            else None,
        )

    def _share(self) -> Share:
        """Part of the queries that this process ranks where all hold the same banks."""
        return Share.of(self.process_group) if self._is_synced else ALL

    def _average(
        self,
        values: dict[str, Tensor],
        labels: Tensor,
        gallery_labels: Tensor,
        targets: Tensor | None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Means over queries, for one photo over classes, too, and chance levels; and the values.

        Args:
            values: Each metric and rank of each query, (Q,).
            labels: Class of each query, (Q,).
            gallery_labels: Class of each photo, (G,).
            targets: Gallery position of each query's own photo, (Q,), -1 for none.
        """
        means = {n: v.nanmean() for n, v in values.items() if not n.startswith("rank")}
        classes, at = labels.unique(return_inverse=True)
        for name in [n for n in means if metric_info(n).scope != "category"]:
            of_classes = [values[name][at == c].nanmean() for c in range(len(classes))]
            means[f"{name}_macro"] = torch.stack(of_classes).nanmean()
        return means | chance_levels(labels, gallery_labels, targets, self.accuracy_k), values

    def _targets(self, instances: Tensor, gallery_instances: Tensor) -> Tensor | None:
        return None


class InstanceRetrieval(CategoryRetrieval):
    """Instance-level retrieval: besides the category's metrics, is the one true photo found?

    ``Acc@q`` is the share of sketches whose own photo is among the first q of the photos of its
    class (the gallery of the paper's fine-grained figures, as far as they tell), ``Acc@q_all`` the
    same in the gallery of all classes. Sketches whose photo is not in the gallery do not count; if
    no sketch has one, the result is that of :class:`CategoryRetrieval`.

    Args:
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k.
        accuracy_k: Cut-offs of Acc@q.
        similarity: cosine, euclidean or hamming.
        score: In place of a similarity.
        prefix: Put before each name in the result.
        dtype: Type that states are kept in.

    Example:
        >>> metric = InstanceRetrieval(precision_k=[], map_k=[], accuracy_k=[1])
        >>> own = torch.tensor([10, 11])
        >>> metric.update(torch.eye(2), torch.tensor([0, 0]), torch.arange(2), "gallery", own)
        >>> sketches = torch.tensor([[1., .1], [1., .2]])
        >>> metric.update(sketches, torch.tensor([0, 0]), torch.arange(2), "query", own)
        >>> result = metric.compute()
        >>> result["Acc@1"].item(), result["chance_Acc@1"].item()
        (0.5, 0.5)
    """

    def __init__(
        self,
        precision_k: Sequence[int] = (100, 200),
        map_k: Sequence[int] = (200,),
        accuracy_k: Sequence[int] = (1, 5, 10),
        similarity: Similarity = "cosine",
        score: Score | TwoStages | None = None,
        prefix: str = "",
        dtype: torch.dtype = torch.float32,
        **metric_options: Any,
    ) -> None:
        super().__init__(precision_k, map_k, similarity, score, prefix, dtype, **metric_options)
        self.accuracy_k = tuple(accuracy_k)

    def _targets(self, instances: Tensor, gallery_instances: Tensor) -> Tensor | None:
        return own_photos(instances, gallery_instances)
