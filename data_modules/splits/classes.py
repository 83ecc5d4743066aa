"""Classes of an experiment: seen, set aside for validation, and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data_modules.listing.names import shared, shorten
from data_modules.splits.dataset_files import DatasetFiles, warn
from data_modules.splits.split import Split, carve_validation, resolve_split
from data_modules.splits.subsets import draw
from sketchclip.errors import SketchClipError

Validation = Literal["pseudo_unseen", "test_classes", "none"]
Gallery = Literal["dedup", "zse_dup", "random_pairs"]
REMEDY = "Complete the data, or use a split of what is there: --data.split=random:2:0."


@dataclass(frozen=True)
class SplitSettings:
    """Choice of classes and files; the arguments of the data module of the same names."""

    split: str | None = None
    validation: Validation = "pseudo_unseen"
    val_fraction: float = 0.1
    train_fraction: float = 1.0
    seen_classes: int | None = None
    subset_seed: int = 0
    generalized: float = 0.0
    gallery: Gallery = "dedup"
    seed: int = 0


def find_split(files: DatasetFiles, settings: SplitSettings) -> Split:
    """Seen and unseen classes that are on disk."""
    name = settings.split or files.dataset.default_split
    if name is None:
        raise SketchClipError(
            f"{type(files.dataset).__name__} has no split of its own. Name one: "
            "--data.split=random:<n_unseen>:<seed>, or a text file of unseen class names."
        )
    split = resolve_split(name, files.listing[0])
    if split.ignored:
        warn(
            f"{files.layout.root}: left out {len(split.ignored)} classes that split {name} "
            f"does not name: {shorten(split.ignored)}."
        )
    return split


def validation_classes(split: Split, files: DatasetFiles, settings: SplitSettings) -> list[str]:
    """Classes that validation retrieves among."""
    if settings.validation == "pseudo_unseen":
        if len(split.seen) < 4:
            warn(
                f"{len(split.seen)} seen classes are too few to set some aside: they all "
                "train, and there is no validation."
            )
            return []
        return carve_validation(split.seen, settings.val_fraction)
    if settings.validation == "test_classes":
        warn("data.validation=test_classes: a checkpoint chosen by it has seen the test classes.")
        return unseen_classes(split, files)
    return []


def training_classes(split: Split, validation: Sequence[str], settings: SplitSettings) -> list[str]:
    """Classes to train on in the order of their labels.

    Validation classes are set aside first and are the same for every ``seen_classes``.
    """
    held_out = validation if settings.validation == "pseudo_unseen" else []
    names = [c for c in split.seen if c not in held_out]
    if settings.seen_classes is None:
        return names
    if not 2 <= settings.seen_classes <= len(names):
        raise SketchClipError(
            f"data.seen_classes={settings.seen_classes}: expected 2 to {len(names)}. Split "
            f"{split.name} has {len(split.seen)} seen classes here, of which "
            f"{len(held_out)} are set aside for validation (none with --data.validation=none)."
        )
    return draw(names, names, settings.seen_classes, settings.subset_seed, "classes")


def refuse_trained(classes: Sequence[str], trained: Sequence[str]) -> None:
    """Stop where classes to measure on were trained on.

    Raises:
        SketchClipError: If a class is in both lists, in any spelling.
    """
    both = shared(classes, trained)
    if both:
        raise SketchClipError(
            f"{len(both)} of the {len(classes)} classes to measure on are among those that "
            f"the model was trained on: {shorten(both)}. Use the split of the training "
            "(--data.split), or one whose unseen classes leave these out. "
            "--data.allow_trained_classes=true measures them all the same and marks results."
        )


def unseen_classes(split: Split, files: DatasetFiles) -> list[str]:
    """Classes to test on; at least two."""
    if len(split.unseen) < 2:
        raise SketchClipError(
            f"Split {split.name}: {len(split.unseen)} of its {split.listed[1]} "
            f"unseen classes have sketches and photos under {files.layout.root}; a test needs "
            f"at least 2. {REMEDY}"
        )
    return list(split.unseen)
