"""Pictures of what is retrieved: a few sketches and their first photos, after each validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from sketchclip.loggers import WandbRun
from sketchclip.plots.retrieval_grid import Ranking, retrieval_grid

_COLUMNS = ("query", "class", "retrieved", "classes", "hits", "hit@1", "AP")


class Retrieved(NamedTuple):
    """One query with its first photos."""

    position: int
    path: Path
    label: int
    photos: list[Path]
    labels: list[int]
    hits: list[bool]


class RetrievalGrids(Callback):
    """Draws ``grids/epoch_<n>.png`` in training and ``retrieved.png`` in validate.

    With W&B the picture is ``val/retrieved``, and a test, whose ``grid.png`` RunReport draws, adds
    ``test/retrieved``, as a picture and as a table.

    Args:
        queries: Sketches in a picture, drawn once at random, one a class; 0 for no pictures.
        every: Epochs between pictures in training.
        depth: Photos a sketch.
        table: Rows of the table that a test sends to W&B; 0 for none.
    """

    def __init__(self, queries: int = 8, every: int = 1, depth: int = 10, table: int = 100) -> None:
        self.queries = queries
        self.every = every
        self.depth = depth
        self.table = table
        self._shown: list[Retrieved] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the validation classes; the method ranks, logs and forgets after this."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        if trainer.sanity_checking or (fitting and (trainer.current_epoch + 1) % self.every):
            return
        name = f"grids/epoch_{trainer.current_epoch + 1:03d}.png" if fitting else "retrieved.png"
        self._draw(trainer, pl_module, "val", name, self.queries)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the unseen classes."""
        if any(isinstance(logger, WandbRun) for logger in trainer.loggers):
            self._draw(trainer, pl_module, "test", None, max(self.queries, self.table))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send the table, now that the average precisions are known."""
        values: dict[str, Any] = pl_module.retrieval.values  # type: ignore[assignment]
        known = dict(zip(values.get("index", ()), values.get("mAP@all", ()), strict=True))
        shown = self._shown[: self.table]  # empty in all processes but the main one
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun) and shown:
                classes = trainer.datamodule.test_classes  # type: ignore[attr-defined]
                rows = [_row(query, classes, known) for query in shown]
                logger.log_table("test/retrieved", columns=[*_COLUMNS], data=rows)
        self._shown = []

    def _draw(
        self, trainer: Trainer, module: LightningModule, stage: str, name: str | None, count: int
    ) -> None:
        folder = trainer.log_dir  # a collective call, as the next one
        if not count or not self.depth or not trainer.loggers or folder is None:
            return
        loaders = getattr(trainer, f"{stage}_dataloaders")
        with module.retrieval.sync_context():  # type: ignore[operator, union-attr]
            shown = retrieved(module, loaders, count, self.depth) if trainer.is_global_zero else []
        self._shown = shown
        if not shown[: self.queries]:
            return
        classes = loaders[0].dataset.classes
        when = f", epoch {trainer.current_epoch + 1}" if name and "epoch" in name else ""
        title = f"{ {'val': 'Validation', 'test': 'Unseen'}[stage] } classes{when}"
        picture = _picture(shown[: self.queries], classes, title)
        if name is not None:
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.save(target)
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun):
                logger.log_image(f"{stage}/retrieved", [picture], trainer.global_step)


def retrieved(
    module: LightningModule, loaders: Sequence[Any], count: int, depth: int
) -> list[Retrieved]:
    """Rank the gallery for some queries, the same ones at every call on the same data.

    Args:
        module: Method whose ``retrieval`` holds the states of both sides.
        loaders: Of queries and gallery, for the files.
        count: Number of queries; all classes have one before any has two.
        depth: Photos a query.

    Returns:
        Queries with their first photos.
    """
    metric: Any = module.retrieval
    states, labels, index, instances = metric.bank("query")
    gallery, gallery_labels, gallery_index, gallery_instances = metric.bank("gallery")
    if not len(states) or not len(gallery):
        return []
    chosen = torch.from_numpy(_spread(labels.cpu().numpy(), count)).to(states.device)
    scores = module.score(states[chosen], gallery)  # type: ignore[operator]
    order = torch.argsort(scores, dim=1, descending=True, stable=True)[:, :depth]
    own = instances[chosen, None]
    # The one photo of a sketch, where there is one; else every photo of its class.
    hits = torch.where(
        own >= 0, gallery_instances[order] == own, gallery_labels[order] == labels[chosen, None]
    )
    queries, photos = (loader.dataset.items for loader in loaders)
    result = []
    for row, position in enumerate(index[chosen].tolist()):
        path, label = queries[position]
        found = [photos[at] for at in gallery_index[order[row]].tolist()]
        paths, classes = [p for p, _ in found], [int(c) for _, c in found]
        result.append(Retrieved(position, path, int(label), paths, classes, hits[row].tolist()))
    return result


def _spread(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions drawn at random, round after round of one a class."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    turns: dict[int, int] = {}
    rounds = np.empty(len(labels), np.int64)
    for rank, position in enumerate(shuffled):
        rounds[rank] = turns.setdefault(int(labels[position]), 0)
        turns[int(labels[position])] += 1
    return shuffled[np.argsort(rounds, kind="stable")][:count]


def _picture(shown: Sequence[Retrieved], classes: Sequence[str], title: str) -> Image.Image:
    rows = [(s.path, classes[s.label], [Ranking("", s.photos, s.hits)]) for s in shown]
    footer = "Sketches drawn once at random. Thick green frame: what was looked for."
    return retrieval_grid(title, rows, footer)


def _row(shown: Retrieved, classes: Sequence[str], precision: dict[Any, Any]) -> list[Any]:
    import wandb

    own = classes[shown.label]
    return [
        shown.path.name,
        own,
        wandb.Image(_picture([shown], classes, own)),
        ", ".join(classes[label] for label in shown.labels),
        "".join("x" if hit else "." for hit in shown.hits),
        shown.hits[0],
        float(precision.get(shown.position, float("nan"))),
    ]
