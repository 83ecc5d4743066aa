"""Classes of an experiment: seen, set aside for validation, and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data_modules.listing.names import shorten
from data_modules.listing.same_thing import same_classes
from data_modules.splits.dataset_files import DatasetFiles, warn
from data_modules.splits.split import (
    UNSEEN_BY_MODEL,
    Split,
    carve_validation,
    resolve_split,
    split_by_model,
)
from data_modules.splits.subsets import draw
from sketchclip.errors import SketchClipError

Validation = Literal["pseudo_unseen", "test_classes", "none"]
Gallery = Literal["dedup", "zse_dup", "random_pairs"]
GeneralizedQueries = Literal["unseen", "both"]
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
    generalized_queries: GeneralizedQueries = "unseen"
    gallery: Gallery = "dedup"
    seed: int = 0

    @property
    def by_model(self) -> bool:
        """Whether the model under test decides the test classes."""
        return self.split == UNSEEN_BY_MODEL

    def check_generalized(self) -> None:
        """Refuse what generalised retrieval cannot be combined with."""
        given = f"data.generalized={self.generalized}"
        if self.by_model and self.generalized:
            raise SketchClipError(
                f"{given} puts photos of seen classes into the gallery, and the split "
                f"{UNSEEN_BY_MODEL} has none. Use --data.generalized=0, or another split."
            )
        if self.generalized_queries == "both" and not self.generalized:
            raise SketchClipError(
                "data.generalized_queries=both: queries of seen classes look for photos of seen "
                "classes, of which none is in the gallery. Name a part, as --data.generalized=0.2."
            )
        if self.generalized_queries == "both" and self.gallery == "random_pairs":
            raise SketchClipError(
                "data.gallery=random_pairs holds no photo of seen classes that queries of "
                "data.generalized_queries=both could find. Use --data.gallery=dedup."
            )


def refuse_split_by_model(settings: SplitSettings, stage: str) -> None:
    """Stop a fit or a validation on the split that a trained model makes of a dataset.

    Raises:
        SketchClipError: If the split is ``unseen_by_model``.
    """
    if settings.by_model and stage in ("fit", "validate"):
        raise SketchClipError(
            f"data.split={UNSEEN_BY_MODEL} is for 'sketchclip test' and 'predict': it leaves out "
            "the classes that a trained model has seen. Train on a split of the dataset "
            "(--data.split), then test the run with this one."
        )


def find_split(
    files: DatasetFiles, settings: SplitSettings, trained: Sequence[str] | None = None
) -> Split:
    """Seen and unseen classes that are on disk.

    Args:
        files: Files on disk.
        settings: Choice of classes and files.
        trained: Training classes of the model under test, for ``unseen_by_model``.
    """
    name = settings.split or files.dataset.default_split
    if settings.by_model:
        if trained is None:
            raise SketchClipError(
                f"data.split={UNSEEN_BY_MODEL}: the test classes are known when a model tests. Use "
                "'sketchclip test --ckpt_path RUN' or Trainer.test(model, datamodule)."
            )
        return split_by_model(files.listing[0], trained)
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


def trained_among(classes: Sequence[str], files: DatasetFiles, trained: Sequence[str]) -> list[str]:
    """Those of some classes of a dataset that a model was trained on, under any name."""
    known = same_classes(files.listing[0], trained)
    return [name for name in classes if name in known]


def refuse_trained(classes: Sequence[str], files: DatasetFiles, trained: Sequence[str]) -> None:
    """Stop where classes to measure on were trained on.

    Raises:
        SketchClipError: If a class is among the trained ones, under any name.
    """
    both = trained_among(classes, files, trained)
    if both:
        raise SketchClipError(
            f"{len(both)} of the {len(classes)} classes to measure on are among those that "
            f"the model was trained on: {shorten(both)}. Use the split of the training, a split "
            f"file without these classes, or --data.split={UNSEEN_BY_MODEL}, which leaves them "
            "out. --data.allow_trained_classes=true measures them all the same and marks results."
        )


def unseen_classes(split: Split, files: DatasetFiles) -> list[str]:
    """Classes to test on; at least two."""
    if len(split.unseen) < 2 and split.name == UNSEEN_BY_MODEL:
        raise SketchClipError(
            f"Split {split.name}: the model was trained on {len(split.removed)} of the "
            f"{len(files.listing[0])} classes under {files.layout.root}: "
            f"{shorten([*split.removed])}. {len(split.unseen)} is left, and a test needs at least "
            "2. Test on another dataset, or on the split of the training."
        )
    if len(split.unseen) < 2:
        raise SketchClipError(
            f"Split {split.name}: {len(split.unseen)} of its {split.listed[1]} "
            f"unseen classes have sketches and photos under {files.layout.root}; a test needs "
            f"at least 2. {REMEDY}"
        )
    return list(split.unseen)
