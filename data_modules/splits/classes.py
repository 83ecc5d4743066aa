"""Which classes of a dataset are seen, set aside for validation, and tested on."""

from functools import cached_property
from typing import Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from data_modules.listing.names import shorten
from data_modules.splits.dataset_files import DatasetFiles
from data_modules.splits.split import Split, carve_validation, resolve_split
from data_modules.splits.subsets import draw
from sketchclip.errors import SketchClipError

Validation = Literal["pseudo_unseen", "test_classes", "none"]
REMEDY = "Complete the data, or use a split of what is there: --data.split=random:2:0."


class DatasetClasses(DatasetFiles):
    """The classes of an experiment, as a data module's split and validation say."""

    split_name: str | None
    validation: Validation
    val_fraction: float
    seen_classes: int | None
    subset_seed: int
    generalized: float

    @cached_property
    def split(self) -> Split:
        """Seen and unseen classes that are on disk."""
        name = self.split_name or self.default_split
        if name is None:
            raise SketchClipError(
                f"{type(self).__name__} has no split of its own. Name one: "
                "--data.split=random:<n_unseen>:<seed>, or a text file of unseen class names."
            )
        split = resolve_split(name, self.listing[0])
        if split.ignored:
            rank_zero_warn(
                f"{self.layout.root}: left out {len(split.ignored)} classes that split {name} "
                f"does not name: {shorten(split.ignored)}."
            )
        return split

    @cached_property
    def val_classes(self) -> list[str]:
        """Classes that validation retrieves among."""
        if self.validation == "pseudo_unseen":
            if len(self.split.seen) < 4:
                rank_zero_warn(
                    f"{len(self.split.seen)} seen classes are too few to set some aside: they all "
                    "train, and there is no validation."
                )
                return []
            return carve_validation(self.split.seen, self.val_fraction)
        if self.validation == "test_classes":
            rank_zero_warn(
                "data.validation=test_classes: a checkpoint chosen by it has seen the test classes."
            )
            return self._unseen()
        return []

    @cached_property
    def class_names(self) -> list[str]:
        """Training classes in the order of their labels.

        Validation classes are set aside first and are the same for every ``seen_classes``.
        """
        held_out = self.val_classes if self.validation == "pseudo_unseen" else []
        names = [c for c in self.split.seen if c not in held_out]
        if self.seen_classes is None:
            return names
        if not 2 <= self.seen_classes <= len(names):
            raise SketchClipError(
                f"data.seen_classes={self.seen_classes}: expected 2 to {len(names)}. Split "
                f"{self.split.name} has {len(self.split.seen)} seen classes here, of which "
                f"{len(held_out)} are set aside for validation (none with --data.validation=none)."
            )
        return draw(names, names, self.seen_classes, self.subset_seed, "classes")

    @property
    def test_classes(self) -> list[str]:
        """Classes of the test in the order of their labels; seen ones only if generalized > 0."""
        if not 0 <= self.generalized < 1:
            raise SketchClipError(
                f"data.generalized={self.generalized}: expected a part of the photos of each seen "
                "class, at least 0 and below 1, such as 0.2."
            )
        return self._unseen() + (list(self.split.seen) if self.generalized else [])

    def _unseen(self) -> list[str]:
        if len(self.split.unseen) < 2:
            raise SketchClipError(
                f"Split {self.split.name}: {len(self.split.unseen)} of its {self.split.listed[1]} "
                f"unseen classes have sketches and photos under {self.layout.root}; a test needs "
                f"at least 2. {REMEDY}"
            )
        return list(self.split.unseen)
