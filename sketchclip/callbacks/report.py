"""The figures of validate and test, with the protocol that makes them comparable."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.table import Table

from data_modules import SketchPhotoDataModule
from data_modules.listing.names import shared
from sketchclip import __version__
from sketchclip.callbacks.training import subsets
from sketchclip.plots.examples import picture
from sketchclip.runs.rankings import RANKINGS, SHOWN, write_rankings
from sketchclip.runs.results import METRICS, QUERIES, by_class, file_hash, intervals, write_results

GRID = "grid.png"
DEFINITION = (
    "mean over queries; mAP@k strict: sum of precision at hits in the top k / min(relevant, k); "
    "_voc and _prefix: docs/evaluation.md; P@k: hits / k; Acc@q: own photo among the first q of "
    "its class, _all: of the gallery, _macro: mean over classes; ties in the order of the gallery"
)


class RunReport(Callback):
    """Prints figures and writes ``metrics.json`` after testing."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the figures of ``sketchclip validate``; in training they are logged."""
        if trainer.state.fn != TrainerFn.VALIDATING:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        counts = evaluated(data, trainer.val_dataloaders or [])
        if trainer.is_global_zero:
            title = f"{type(pl_module).__name__}: {len(data.val_classes)} validation classes"
            protocol = data.protocol.name + _missing(counts)
            print_metrics(title, _metrics(trainer, "val/"), protocol)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for the first photos of each query, which pictures show."""
        pl_module.retrieval.nearest = SHOWN  # type: ignore[union-attr]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the figures and keep them with the protocol that makes them comparable."""
        folder = trainer.log_dir
        data = trainer.datamodule  # type: ignore[attr-defined]
        counts = evaluated(data, trainer.test_dataloaders or [])
        if not trainer.is_global_zero:
            return
        queries, gallery = (read for read, _ in counts)
        protocol = data.protocol_name + _missing(counts)
        trained = shared(data.split.unseen, pl_module.training_classes)  # type: ignore[arg-type]
        if trained:
            protocol += f"; NOT ZERO-SHOT: {len(trained)} of the unseen classes were trained on"
        metrics = _metrics(trainer, "test/")
        values: dict[str, Any] = pl_module.retrieval.values  # type: ignore[assignment]
        result: dict[str, Any] = {
            "metrics": metrics,
            "interval_95": intervals(values),
            "definition": DEFINITION,
            "method": type(pl_module).__name__,
            "backbone": getattr(pl_module, "backbone_identity", None),
            "dataset": type(data).__name__,
            "split": data.split.name,
            "protocol": protocol,
            **subsets(data),
            "queries": queries,
            "gallery": gallery,
            "training_classes": len(data.class_names),
            "unseen_classes": list(data.split.unseen),
            "trained_classes": trained,
            "classes": by_class(values, data.test_classes),
            "partial": bool(pl_module.partial or _missing(counts)),
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            "checkpoint_sha256": file_hash(trainer.ckpt_path),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", 0)),
            "precision": trainer.precision,
            **versions(),
        }
        title = (
            f"{result['method']} on {result['dataset']} ({result['split']}): {queries:,} sketches, "
            f"{gallery:,} photos, {len(data.split.unseen)} unseen classes"
        )
        print_metrics(title, metrics, protocol)
        if trainer.logger is not None and folder is not None:
            items = trainer.test_dataloaders[0].dataset.items  # type: ignore[index]
            # Relative, so that runs on machines that keep the data elsewhere can be compared.
            root = data.data_root()
            paths = [os.path.relpath(items[i][0], root) for i in values.get("index", ())]
            write_results(Path(folder), result, values, paths, data.test_classes)
            print(f"Written: {folder}/{METRICS} and {QUERIES}")
            if pl_module.retrieval.shown is not None:  # type: ignore[union-attr]
                _keep_rankings(trainer, pl_module, Path(folder), root)


def _keep_rankings(trainer: Trainer, module: Any, folder: Path, root: Path) -> None:
    """Keep the first photos of each query and a picture of some."""
    items = trainer.test_dataloaders[1].dataset.items  # type: ignore[index]
    metric = module.retrieval
    labels = np.array([items.label(at) for at in metric.shown.ravel()]).reshape(metric.shown.shape)
    hit = labels == metric.values["label"][:, None]

    def path_of(index: int) -> str:
        return os.path.relpath(items.path(index), root)

    write_rankings(folder, metric.shown, hit, metric.own, path_of, root)
    picture(folder).save(folder / GRID)
    print(f"Written: {folder}/{RANKINGS}; eight random queries: {folder}/{GRID}")


def evaluated(data: SketchPhotoDataModule, loaders: Sequence[Any]) -> list[tuple[int, int]]:
    """Number of images of each side that were read, and of all; every process must call it.

    Args:
        data: The data module, which knows the files that ``on_error=skip`` passed over.
        loaders: Of queries and gallery.

    Returns:
        (read, all) for queries and gallery.
    """
    missing = data.unreadable.gather() if data.on_error == "skip" else {}
    datasets = [loader.dataset for loader in loaders]
    return [(d.readable({*missing.get(d.side, ())}), len(d)) for d in datasets]


def _missing(counts: Sequence[tuple[int, int]]) -> str:
    names = ("queries: {:,} of {:,} sketches", "gallery: {:,} of {:,} photos")
    parts = [
        name.format(read, total)
        for name, (read, total) in zip(names, counts, strict=True)
        if read < total
    ]
    return "".join(f"; {part}" for part in parts) + (" could be read" if parts else "")


def _metrics(trainer: Trainer, prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith(prefix)
    }


def versions() -> dict[str, str]:
    """Versions that a figure may depend on."""
    names = ("torch", "lightning", "open_clip_torch", "torchmetrics", "numpy")
    return {"sketchclip": __version__} | {name: version(name) for name in names}


def print_metrics(title: str, metrics: Mapping[str, float], protocol: str) -> None:
    """Print the figures under a line that says what they are, definitions apart from each other.

    Args:
        title: Method, data and counts.
        metrics: Name to value.
        protocol: Definition and gallery.
    """
    print(f"\n{title}")
    own = {n: v for n, v in metrics.items() if "Acc@" in n}
    others = {n: v for n, v in metrics.items() if n.endswith(("_voc", "_prefix"))}
    _table({n: v for n, v in metrics.items() if n not in own and n not in others})
    if others:
        print("other definitions of mAP@k, for comparison with papers that use them")
        _table(others)
    if own:
        print("own photo found among the first q (gallery: the photos of its class, or all photos)")
        _accuracy_table(own)
    print(f"{protocol}\n")


def _accuracy_table(metrics: Mapping[str, float]) -> None:
    cuts = [n for n in metrics if re.fullmatch(r"Acc@\d+", n)]
    table = Table("gallery", "mean over", *(f"q = {n[4:]}" for n in cuts))
    for gallery, scope in (("class", ""), ("all", "_all")):
        for mean, pattern in (
            ("sketches", "{}" + scope),
            ("classes", "{}" + scope + "_macro"),
            ("chance", "chance_{}" + scope),
        ):
            cells = (metrics[pattern.format(n)] for n in cuts)
            table.add_row(gallery, mean, *(f"{value:.4f}" for value in cells))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _table(metrics: Mapping[str, float]) -> None:
    table = Table()
    for name in metrics:
        table.add_column(name, justify="right")
    table.add_row(*(f"{value:.4f}" for value in metrics.values()))
    Console(width=None if sys.stdout.isatty() else 100).print(table)
