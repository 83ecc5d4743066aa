"""Metrics of validate and test, with the protocol that makes them comparable."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from data_modules import SketchPhotoDataModule
from data_modules.splits.classes import trained_among
from sketchclip.callbacks.training import subsets
from sketchclip.methods.trained_on import cross_dataset, held_out, remarks
from sketchclip.metrics import RetrievalResults
from sketchclip.metrics.definitions import DEFINITION
from sketchclip.plots.examples import picture
from sketchclip.runs.environment import METRIC_PACKAGES, versions
from sketchclip.runs.rankings import RANKINGS, SHOWN, write_rankings
from sketchclip.runs.results import (
    METRICS_FILE,
    QUERIES,
    by_class,
    file_hash,
    intervals,
    write_results,
)
from sketchclip.tables.console import print_metrics

GRID = "grid.png"


class RunReport(Callback):
    """Prints metrics and writes ``metrics.json`` after testing."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics of ``sketchclip validate``; in training they are logged."""
        if trainer.state.fn != TrainerFn.VALIDATING:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        counts = evaluated(data, trainer.val_dataloaders or [])
        if trainer.is_global_zero:
            classes, results = data.catalogue.val_classes, cast(Any, pl_module.results)
            title = f"{type(pl_module).__name__}: {len(classes)} validation classes"
            protocol = data.protocol.name + _missing(counts) + _ranked(results)
            print_metrics(title, results.metrics, protocol)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the first photos of each query, which pictures show."""
        if stage == "test":
            module: Any = pl_module
            module.shown_photos = max(module.shown_photos, SHOWN)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the metrics and write them with the protocol that makes them comparable."""
        folder = trainer.log_dir
        data = trainer.datamodule  # type: ignore[attr-defined]
        files = data.catalogue
        counts = evaluated(data, trainer.test_dataloaders or [])
        if not trainer.is_global_zero:
            return
        queries, gallery = (read for read, _ in counts)
        model: Any = pl_module
        removed = dict(files.split.removed)
        protocol = "; ".join([files.protocol_name + _missing(counts), *remarks(model, data)])
        trained = trained_among(files.split.unseen, files.files, model.training_classes)
        if trained:
            protocol += f"; NOT ZERO-SHOT: {len(trained)} of the unseen classes were trained on"
        semantics = getattr(pl_module, "semantics", None)
        adapted = getattr(pl_module, "test_time_adaptation", None)
        found: RetrievalResults = pl_module.results  # type: ignore[assignment]
        seen = np.isin(found.labels, files.seen_labels)
        result: dict[str, Any] = {
            "metrics": dict(found.metrics),
            "interval_95": intervals(found.values),
            "definition": DEFINITION,
            "method": type(pl_module).__name__,
            "backbone": getattr(pl_module, "origin", getattr(pl_module, "identity", None)),
            **({} if semantics is None else {"class_vectors": semantics.source}),
            **({} if adapted is None else {"test_time_adaptation": adapted}),
            **({} if found.ranking is None else {"ranking": found.ranking}),
            "dataset": type(data).__name__,
            "split": files.split.name,
            "protocol": protocol,
            **subsets(files),
            "queries": queries,
            "gallery": gallery,
            **({"seen_queries": int(seen.sum())} if seen.any() else {}),
            "training_classes": len(
                model.training_classes if files.settings.by_model else data.class_names
            ),
            "training_data": model.training_data,
            "unseen_classes": list(files.split.unseen),
            "trained_classes": trained,
            **({"cross_dataset": True} if cross_dataset(model, data) else {}),
            **({"removed_classes": removed} if files.settings.by_model else {}),
            **({"held_out": held_out(model, data)} if files.settings.generalized else {}),
            "classes": by_class(found.values, found.labels, files.test_classes),
            "partial": bool(pl_module.partial or _missing(counts)),
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            "checkpoint_sha256": file_hash(trainer.ckpt_path),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", 0)),
            "precision": trainer.precision,
            **versions(METRIC_PACKAGES),
        }
        title = (
            f"{result['method']} on {result['dataset']} ({result['split']}): {queries:,} sketches, "
            f"{gallery:,} photos, {len(files.split.unseen)} unseen classes"
            + (f", {len(files.seen_labels)} seen ones" if seen.any() else "")
        )
        print_metrics(title, found.metrics, protocol + _ranked(found))
        if removed:
            names = [n if shown == n else f"{n} (there {shown})" for n, shown in removed.items()]
            print(f"Removed, as the model was trained on them: {', '.join(names)}\n")
        if trainer.logger is not None and folder is not None:
            items = trainer.test_dataloaders[0].dataset.items  # type: ignore[index]
            # Relative, so that runs on machines that keep the data elsewhere can be compared.
            root = files.files.root
            paths = [os.path.relpath(items[i][0], root) for i in found.index]
            values, labels = found.values, found.labels
            write_results(Path(folder), result, values, labels, paths, files.test_classes)
            print(f"Written: {folder}/{METRICS_FILE} and {QUERIES}")
            if len(found.first):
                _keep_rankings(found, trainer.test_dataloaders, Path(folder), root)


def _ranked(results: RetrievalResults) -> str:
    return "" if results.ranking is None else f"; ranked by {results.ranking}"


def _keep_rankings(found: RetrievalResults, loaders: Any, folder: Path, root: Path) -> None:
    """Write the first photos of each query and a picture of a few queries."""
    items = loaders[1].dataset.items

    def path_of(index: int) -> str:
        return os.path.relpath(items.path(index), root)

    first, same_class = found.first[:, :SHOWN], found.same_class[:, :SHOWN]
    write_rankings(folder, first, same_class, found.own, path_of, root)
    picture(folder).save(folder / GRID)
    print(f"Written: {folder}/{RANKINGS}; eight random queries: {folder}/{GRID}")


def evaluated(data: SketchPhotoDataModule, loaders: Sequence[Any]) -> list[tuple[int, int]]:
    """Count images of queries and gallery as (read, all); every process must call it.

    Files that ``on_error=skip`` passed over are not read.
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
