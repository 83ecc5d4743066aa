"""Retrieval grids of a few sketches and their first photos, after each validation."""

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from data_modules.ranges import CheckedArguments, Count, Natural
from sketchclip.loggers import WandbRun
from sketchclip.metrics import RetrievalResults
from sketchclip.plots.choice import choose
from sketchclip.plots.retrieval_grid import Ranking, retrieval_grid
from sketchclip.semantics.class_names import spoken

_COLUMNS = ("query", "class", "retrieved", "classes", "hits", "hit@1", "AP")


class Retrieved(NamedTuple):
    """One query with its first photos."""

    path: Path
    class_name: str
    photos: list[Path]
    classes: list[str]
    hits: list[bool]
    precision: float

    @property
    def note(self) -> str:
        """Average precision in words; empty where it is undefined."""
        return "" if isnan(self.precision) else f"AP {self.precision:.2f}"


class RetrievalGrids(CheckedArguments, Callback):
    """Plots ``grids/epoch_<n>.png`` in training and ``retrieved.png`` in validate.

    With W&B the picture is ``val/retrieved``, and a test, whose ``grid.png`` RunReport plots, adds
    ``test/retrieved``, as a picture and as a table.

    Args:
        queries: Sketches in a picture, sampled once at random, one a class; 0 for no pictures.
        every: Epochs between pictures in training.
        depth: Photos for each sketch.
        table: Rows of the table that a test sends to W&B; 0 for none.
    """

    def __init__(
        self, queries: Natural = 8, every: Count = 1, depth: Count = 10, table: Natural = 100
    ) -> None:
        self.queries = queries
        self.every = every
        self.depth = depth
        self.table = table

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the first photos of each query."""
        if self.queries or self.table:
            module: Any = pl_module
            module.shown_photos = max(module.shown_photos, self.depth)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plot the validation classes."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        if trainer.sanity_checking or (fitting and (trainer.current_epoch + 1) % self.every):
            return
        when = f", epoch {trainer.current_epoch + 1}" if fitting else ""
        name = f"grids/epoch_{trainer.current_epoch + 1:03d}.png" if fitting else "retrieved.png"
        shown = self._shown(trainer, pl_module, trainer.val_dataloaders, self.queries)
        folder = trainer.log_dir  # a collective call
        if not shown or folder is None or not trainer.is_global_zero:
            return
        title, means = _described(pl_module, trainer, "validation")
        picture = _picture(shown, f"{title}{when}", means)
        target = Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target)
        for logger in _wandb(trainer):
            logger.log_image("val/retrieved", [picture], trainer.global_step)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send a picture and a table of the unseen classes to W&B."""
        if not trainer.is_global_zero or not [*_wandb(trainer)]:
            return
        most = max(self.queries, self.table)
        shown = self._shown(trainer, pl_module, trainer.test_dataloaders, most)
        for logger in _wandb(trainer):
            if shown[: self.queries]:
                picture = _picture(shown[: self.queries], *_described(pl_module, trainer, "unseen"))
                logger.log_image("test/retrieved", [picture], trainer.global_step)
            if shown[: self.table]:
                rows = [_row(query) for query in shown[: self.table]]
                logger.log_table("test/retrieved", columns=[*_COLUMNS], data=rows)

    def _shown(
        self, trainer: Trainer, module: LightningModule, loaders: Any, count: int
    ) -> list[Retrieved]:
        results: Any = module.results
        if not count or not self.depth or not trainer.loggers or results is None:
            return []
        return retrieved(results, loaders, count, self.depth)


def retrieved(
    results: RetrievalResults, loaders: Sequence[Any], count: int, depth: int
) -> list[Retrieved]:
    """Choose queries of an evaluation, the same ones at every call on the same data.

    Args:
        results: Results that name the first photos of each query.
        loaders: Loaders of queries and gallery, for the files.
        count: Number of queries; all classes have one before any has two.
        depth: Photos for each query.
    """
    queries, photos = (loader.dataset for loader in loaders)
    precision, hits = results.values.get("mAP@all"), results.hits
    return [
        Retrieved(
            queries.items.path(int(results.index[at])),
            spoken(queries.classes[int(results.labels[at])]),
            [photos.items.path(position) for position in results.first[at, :depth].tolist()],
            [spoken(photos.classes[label]) for label in results.first_labels[at, :depth].tolist()],
            hits[at, :depth].tolist(),
            float("nan") if precision is None else float(precision[at]),
        )
        for at in choose([], results.labels.tolist(), "random", count, 0)
    ]


def _wandb(trainer: Trainer) -> Iterator[WandbRun]:
    return (logger for logger in trainer.loggers if isinstance(logger, WandbRun))


def _described(module: LightningModule, trainer: Trainer, kind: str) -> tuple[str, str]:
    """Title and subtitle of a picture: method, data, kind of classes; mean over all queries."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    metrics, name = cast(Any, module).results.metrics, cast(Any, module).headline
    title = f"{type(module).__name__}, {type(data).__name__}, {kind} classes"
    return title, f"{name} {metrics[name]:.3f} over all sketches." if name in metrics else ""


def _picture(shown: Sequence[Retrieved], title: str, subtitle: str = "") -> Image.Image:
    rows = [(s.path, s.class_name, [Ranking("", s.photos, s.hits, (), s.note)]) for s in shown]
    footer = "Sketches sampled once at random, one a class while there are others. "
    footer += "Thick frame with a tick: what was looked for."
    return retrieval_grid(title, rows, footer, subtitle)


def _row(shown: Retrieved) -> list[Any]:
    import wandb

    return [
        shown.path.name,
        shown.class_name,
        wandb.Image(_picture([shown], shown.class_name)),
        ", ".join(shown.classes),
        "".join("x" if hit else "." for hit in shown.hits),
        shown.hits[0],
        shown.precision,
    ]
