"""Record of what weights were trained on: what it forbids a test, and what a test says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_modules import SketchPhotoDataModule
from data_modules.listing.same_thing import same_classes
from data_modules.splits.classes import refuse_trained
from data_modules.splits.split import UNSEEN_BY_MODEL
from sketchclip.errors import SketchClipError

UNKNOWN: dict[str, Any] = {"dataset": None}
"""Entry of a training whose loaders do not tell their classes."""
_RECORD: dict[str, Any] = {
    **dict.fromkeys(("dataset", "split", "generalized_queries"), str),
    **dict.fromkeys(("classes", "subset_seed"), int),
    "generalized": (int, float),
}


def note_training(module: Any, data: SketchPhotoDataModule | None) -> None:
    """Add the data of a training to a module's ``training_classes`` and ``training_data``.

    Args:
        module: RetrievalModule that starts to train.
        data: Its data; None for loaders without a data module.
    """
    entry = UNKNOWN
    if data is not None:
        module.training_classes = sorted({*module.training_classes, *data.class_names})
        settings = data.catalogue.settings
        kept = ("generalized", "generalized_queries", "subset_seed")
        entry = {
            "dataset": type(data).__name__,
            "split": data.catalogue.split.name,
            "classes": len(data.class_names),
            **{name: getattr(settings, name) for name in kept},
        }
    if entry not in module.training_data:
        module.training_data = [*module.training_data, entry]


def read_record(checkpoint: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Training classes and entries of a checkpoint; one of unknown data for tensors without.

    Raises:
        SketchClipError: If it does not say its classes, or an entry is not what we write.
    """
    if "training_classes" not in checkpoint:
        raise SketchClipError(
            "The checkpoint does not say which classes it was trained on, and was not written by "
            "sketchclip. Expected the entry training_classes, as 'sketchclip fit' writes it."
        )
    classes, entries = list(checkpoint["training_classes"]), checkpoint.get("training_data", [])
    for entry in entries:
        if entry != UNKNOWN and not (
            isinstance(entry, Mapping)
            and all(isinstance(entry.get(name), kind) for name, kind in _RECORD.items())
        ):
            raise SketchClipError(
                f"Its entry training_data holds {entry!r:.200}. Expected mappings with "
                f"{', '.join(_RECORD)}, as 'sketchclip fit' writes them."
            )
    if checkpoint["state_dict"] and not classes:
        entries = [UNKNOWN]
    return classes, list(entries)


def check_tested(module: Any, data: SketchPhotoDataModule, classes: Sequence[str]) -> None:
    """Refuse to measure on classes that were trained on, or that nobody knows of.

    Args:
        module: RetrievalModule that is evaluated.
        data: Its data.
        classes: Classes to measure on.

    Raises:
        SketchClipError: If the two have a class in common and ``data.allow_trained_classes`` is
            off, or the split is ``unseen_by_model`` and the model does not know what it has seen.
    """
    if data.catalogue.settings.by_model and UNKNOWN in module.training_data:
        raise SketchClipError(
            f"data.split={UNSEEN_BY_MODEL}: the model was trained on data that did not tell its "
            "classes, so nobody knows which are unseen. Train with a data module "
            "(Trainer.fit(model, datamodule)), or name unseen classes in a text file "
            "(--data.split=FILE)."
        )
    if not data.hparams["allow_trained_classes"]:
        refuse_trained(classes, data.catalogue.files, module.training_classes)


def remarks(module: Any, data: SketchPhotoDataModule) -> list[str]:
    """List what a test must say of the training: another dataset, and files that were not held out.

    Args:
        module: RetrievalModule that was tested.
        data: Data of the test.
    """
    trained, files = module.training_classes, data.catalogue
    settings, split = files.settings, files.split
    told = []
    if cross_dataset(module, data):
        sources = _sources(trained, module.training_data)
        told.append(f"cross-dataset: trained on {sources}, tested on {type(data).__name__}")
    if settings.by_model:
        told[0] += (
            f", on all its {len(split.unseen)} classes that are not among these; "
            f"{len(split.removed)} removed"
        )
    if settings.generalized and not held_out(module, data):
        told.append(
            "NOT HELD OUT: the model was trained without these settings, and what they take from "
            "seen classes may have been in its training"
        )
    if settings.generalized_queries == "both" and trained:
        seen = [files.test_classes[label] for label in files.seen_labels]
        strange = len(seen) - len(same_classes(seen, trained))
        if strange:
            told.append(f"{strange} of the {len(seen)} seen classes were not trained on")
    return told


def cross_dataset(module: Any, data: SketchPhotoDataModule) -> bool:
    """Tell if a test is of another dataset than the training, or of all that it did not take."""
    other = (entry["dataset"] not in (type(data).__name__, None) for entry in module.training_data)
    return data.catalogue.settings.by_model or any(other)


def held_out(module: Any, data: SketchPhotoDataModule) -> bool:
    """Tell if every training on this dataset left out what a generalised test takes.

    Smaller parts are inside larger ones of the same seed, and the choice knows nothing of splits.
    """
    settings = data.catalogue.settings
    return all(
        entry["dataset"] not in (type(data).__name__, None)
        or (
            entry["dataset"] is not None
            and entry["generalized"] >= settings.generalized
            and entry["subset_seed"] == settings.subset_seed
            and settings.generalized_queries in ("unseen", entry["generalized_queries"])
        )
        for entry in module.training_data
    )


def _sources(trained: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> str:
    known = [e for e in entries if e["dataset"] is not None]
    texts = [f"{e['dataset']} (split {e['split']}, {e['classes']} classes)" for e in known]
    return " and ".join(texts) or (f"{len(trained)} classes" if trained else "no class")
