"""Metrics of blocks of queries by counting, on whichever device the scores are: the way of a GPU.

Only the relevant scores of a query are sorted. The place of every score among them, a histogram of
these places and its running sum are the ranks of the relevant photos, from which all metrics
follow on the device. Scores and gallery positions are joined to whole numbers of 64 bits that are
all different, so that ranks are those of a stable sort, exactly, however many scores are equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sketchclip.metrics.definitions import definition_names
from sketchclip.metrics.ranking import Groups

BYTES = 48
"""Bytes of a pair of query and photo while it is ranked, the largest number at a time."""
_POSITION = (1 << 32) - 1


@dataclass(frozen=True)
class CountedMetrics:
    """Metrics of any block of scores, as :class:`~sketchclip.metrics.blocks.BlockMetrics` has them.

    Attributes:
        groups: Labels of both sides.
        goal: Column of each query's own photo, -1 for none, (Q,); None at category level.
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k.
        nearest: Number of first photos to name, at most the gallery.
        position: Gallery position of each column, int64, (G,), on the device of the scores.
        finite: Whether all scores are known to be finite.
    """

    groups: Groups
    goal: np.ndarray | None
    precision_k: tuple[int, ...]
    map_k: tuple[int, ...]
    nearest: int
    position: Tensor
    finite: bool = False

    def __call__(
        self, distances: Tensor, first: int, within: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Metrics of consecutive queries by name, fp64 on the device, (q,).

        Nothing is copied from the device and nothing waits for it.

        Args:
            distances: Negative scores, fp32, (q, G), columns in the order of ``groups``;
                overwritten.
            first: Number of the first query.
            within: Those that decide within the class of each query, where they are others, (q, G).

        Returns:
            The metrics; ``nearest``, int64, (q, nearest); ``odd``, whether a score of the query is
            NaN or infinite.
        """
        parts = [*self._runs(distances, first, within)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _runs(
        self, distances: Tensor, first: int, within: Tensor | None
    ) -> Iterator[dict[str, Tensor]]:
        """Metrics of neighbours with the same relevant columns."""
        for row, start, end in self.groups.block(first, len(distances)).runs():
            block = distances[row]
            values: dict[str, Tensor] = {}
            if not self.finite:
                values["odd"] = torch.stack(block.aminmax(dim=1)).isfinite().all(0).logical_not()
            keys = self._keys(block, self.position)
            relevant = keys[:, start:end].sort(dim=1).values
            ranks = _count(relevant, keys)
            values |= self._precisions(ranks)
            if self.goal is not None:
                goal = torch.from_numpy(self.goal[first : first + len(distances)][row])
                columns = goal.to(keys.device)[:, None]
                own = keys.gather(1, columns.clamp(min=0))
                # Among the relevant, which are in order: the own photo is one of them.
                at = torch.searchsorted(relevant, own).clamp(max=max(0, end - start - 1))
                of_class = at + 1
                if within is not None:
                    mates = self._keys(within[row, start:end], self.position[start:end])
                    mine = mates.gather(1, (columns - start).clamp(0, max(0, end - start - 1)))
                    of_class = (mates < mine).sum(1, keepdim=True) + 1
                known = columns >= 0
                values["rank"] = _known(of_class, known)
                values["rank_all"] = _known(ranks.gather(1, at) if end > start else at, known)
            if self.nearest:
                count = torch.full_like(keys[:, :1], end - start)
                firsts = ranks[:, :1] if end > start else count
                values["rank_first"] = _known(firsts, count > 0)
                near = keys.topk(self.nearest, dim=1, largest=False).values
                values["nearest"] = near & _POSITION
            yield values

    def _keys(self, distances: Tensor, position: Tensor) -> Tensor:
        """Whole numbers in the order of the scores, the gallery's where scores are equal, int64."""
        bits = distances.add_(0.0).view(torch.int32)  # -0.0 becomes 0.0
        # The bits of negative numbers, as integers, are in the opposite order.
        ordered = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits)
        return torch.add(position, ordered, alpha=1 << 32)

    def _precisions(self, ranks: Tensor) -> dict[str, Tensor]:
        """Metrics of the category from the ranks of the relevant photos, (q, R), ascending."""
        queries, count = ranks.shape
        nothing = torch.full((queries,), torch.nan, dtype=torch.float64, device=ranks.device)
        number = torch.arange(1, count + 1, dtype=torch.float64, device=ranks.device)
        precision = number / ranks
        values = {"mAP@all": precision.mean(1) if count else nothing}
        for k in self.map_k:
            inside = precision.masked_fill(ranks > k, 0.0)
            sums, most = inside.sum(1), min(count, k)
            hits = (ranks <= k).sum(1)
            # The highest precision from a photo on; photos beyond k have none.
            envelope = inside.flip(1).cummax(1).values.flip(1) if count else inside
            lifted = envelope.masked_fill(ranks > k, 0.0).sum(1)
            found = (
                (sums / most, lifted / most, sums / hits.clamp(min=1)) if count else [nothing] * 3
            )
            values |= dict(zip(definition_names([k]), found, strict=True))
        for k in self.precision_k:
            values[f"P@{k}"] = (ranks <= k).sum(1).double() / k
            most = min(count, k)
            hits = (ranks <= most).sum(1).double()
            values[f"P@{k}_relevant"] = hits / most if most else nothing
        return values


def _count(relevant: Tensor, keys: Tensor) -> Tensor:
    """Ranks from 1 of sorted keys (q, R) among all keys (q, G), int64."""
    place = torch.searchsorted(relevant, keys)
    one = torch.ones((), dtype=torch.int32, device=keys.device).expand_as(place)
    counts = torch.zeros(
        len(keys), relevant.shape[1] + 1, dtype=torch.int32, device=keys.device
    ).scatter_add_(1, place, one)
    return counts[:, :-1].cumsum(1)


def _known(ranks: Tensor, known: Tensor) -> Tensor:
    """Ranks (q, 1) as fp64 (q,), NaN where they are not known."""
    return ranks.double().masked_fill(~known, torch.nan)[:, 0]


def block_bytes(device: torch.device) -> int:
    """Bytes that a block of scores may take: half of what is free on a GPU, 2 GB at most."""
    if device.type != "cuda":
        return 256 << 20
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(max(64 << 20, min((free + kept) // 2, 2 << 30)))
