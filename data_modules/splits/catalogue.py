"""Files of training, queries and galleries, compared with the published counts."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from data_modules.listing.scan import Listing
from data_modules.splits.classes import (
    REMEDY,
    SplitSettings,
    find_split,
    training_classes,
    unseen_classes,
    validation_classes,
)
from data_modules.splits.dataset_files import DatasetFiles, warn
from data_modules.splits.published import check_figures, shortfall
from data_modules.splits.split import Split
from data_modules.splits.subsets import draw, part
from sketchclip.errors import SketchClipError


class Catalogue:
    """Files of a dataset for each purpose: training, queries, gallery. Plain Python, no tensors.

    Args:
        files: Files on disk.
        settings: Choice of classes and files.
        trained: Training classes of the model under test, which the split ``unseen_by_model``
            leaves out; None before there is one.
    """

    def __init__(
        self, files: DatasetFiles, settings: SplitSettings, trained: Sequence[str] | None = None
    ) -> None:
        self.files = files
        self.settings = settings
        self.trained = trained
        self.dataset = files.dataset

    def tested_by(self, trained: Sequence[str]) -> "Catalogue":
        """Same files and settings, for a model with these training classes."""
        return Catalogue(self.files, self.settings, list(trained))

    @cached_property
    def split(self) -> Split:
        """Seen and unseen classes that are on disk."""
        return find_split(self.files, self.settings, self.trained)

    @cached_property
    def val_classes(self) -> list[str]:
        """Classes that validation retrieves among; none where the model decides the split."""
        if self.settings.by_model:
            return []
        return validation_classes(self.split, self.files, self.settings)

    @cached_property
    def class_names(self) -> list[str]:
        """Training classes in the order of their labels; none where the model decides the split."""
        if self.settings.by_model:
            return []
        return training_classes(self.split, self.val_classes, self.settings)

    @property
    def test_classes(self) -> list[str]:
        """Classes of the test in the order of their labels; seen ones only if generalized > 0."""
        self.settings.check_generalized()
        unseen = unseen_classes(self.split, self.files)
        return unseen + (list(self.split.seen) if self.settings.generalized else [])

    @property
    def seen_labels(self) -> list[int]:
        """Labels of the test whose queries are of seen classes; none unless generalized_queries."""
        if self.settings.generalized_queries == "unseen":
            return []
        names = {*self.class_names}
        return [label for label, name in enumerate(self.test_classes) if name in names]

    @cached_property
    def training(self) -> tuple[Listing, Listing]:
        """Sketches and photos of the training classes."""
        self.check()
        self.settings.check_generalized()
        if len(self.class_names) < 2:
            raise SketchClipError(
                f"Split {self.split.name} leaves {len(self.class_names)} classes to train on: "
                f"{self.split.coverage} are under {self.files.layout.root}. Training needs at "
                f"least 2. {REMEDY}"
            )
        pairs = {name: self._training_of(name) for name in self.class_names}
        return {c: s for c, (s, _) in pairs.items()}, {c: p for c, (_, p) in pairs.items()}

    def _training_of(self, name: str) -> tuple[list[Path], list[Path]]:
        """Sketches and photos of a class: first generalized takes files, then train_fraction."""
        asked = {*self._held_out(name)}
        sketches = [path for path in self.files.listing[0][name] if path not in asked]
        photos = self._of_role(name, "train")
        moved = {*self._moved(name)} if self.settings.generalized else set()
        kept = self._part([path for path in photos if path not in moved], "photos", name)
        if not kept:
            raise SketchClipError(
                f"Class '{name}' has no photo to train on under {self.files.layout.root}. Add "
                "photos or remove the class."
            )
        # Where every photo has sketches of its own, whole pairs are kept.
        if len(kept) < len(photos) and self._paired(name, photos):
            names = {self.dataset.instance_of(path, "photo") for path in kept}
            return [p for p in sketches if self.dataset.instance_of(p, "sketch") in names], kept
        return self._part(sketches, "sketches", name), kept

    def _part(self, files: list[Path], *key: str) -> list[Path]:
        if self.settings.train_fraction == 1 or not files:
            return files
        count = part(self.settings.train_fraction, len(files))
        return draw(files, [path.name for path in files], count, self.settings.subset_seed, *key)

    def _moved(self, name: str) -> list[Path]:
        """Photos of a seen class that generalized puts into the test gallery."""
        photos = self._of_role(name, "gallery")
        count = part(self.settings.generalized, len(photos))
        if {*self._of_role(name, "train")} <= {*photos}:
            count = min(count, len(photos) - 1)  # one stays for training
        names = [path.name for path in photos]
        return draw(photos, names, count, self.settings.subset_seed, "generalized", name)

    def _held_out(self, name: str) -> list[Path]:
        """Sketches of a seen class that generalized_queries asks in the test, not for training.

        Those of the photos in the gallery where every photo has its own, else a part as large.
        """
        if self.settings.generalized_queries == "unseen" or name not in self.class_names:
            return []
        photos, sketches = self._moved(name), self.files.listing[0][name]
        if not photos:  # a query without an answer is none
            return []
        if self._paired(name, self.files.listing[1][name]):
            shown = {self.dataset.instance_of(path, "photo") for path in photos}
            return [p for p in sketches if self.dataset.instance_of(p, "sketch") in shown]
        count = min(part(self.settings.generalized, len(sketches)), len(sketches) - 1)
        names = [path.name for path in sketches]
        seed = self.settings.subset_seed
        return draw(sketches, names, count, seed, "generalized", "sketches", name)

    def _paired(self, name: str, photos: Sequence[Path]) -> bool:
        """Whether each of these photos of a class has sketches of its own."""
        sketches = self.files.listing[0][name]
        drawn = {self.dataset.instance_of(path, "sketch") for path in sketches}
        return {self.dataset.instance_of(path, "photo") for path in photos} <= drawn

    def _of_role(self, name: str, role: str) -> list[Path]:
        return [
            p for p in self.files.listing[1][name] if self.dataset.photo_role(p) in (role, "both")
        ]

    def queries(self, classes: Sequence[str]) -> Listing:
        """Queries among validation or test classes; of a test's seen classes those held out."""
        self.check()
        unseen, sketches = {*self.split.unseen}, self.files.listing[0]
        test = not unseen.isdisjoint(classes)
        return {c: sketches[c] if c in unseen or not test else self._held_out(c) for c in classes}

    def gallery(self, classes: Sequence[str]) -> Listing:
        """Photos to retrieve; of the seen classes of a test the part that is set aside for it."""
        self.check()
        unseen = {*self.split.unseen}
        test = not unseen.isdisjoint(classes)
        if self.settings.gallery == "random_pairs":
            return {c: self._random_pairs(c) if c in unseen or not test else [] for c in classes}
        return {c: self._gallery(c) if c in unseen or not test else self._moved(c) for c in classes}

    def _random_pairs(self, name: str) -> list[Path]:
        """One photo for each sketch, drawn with replacement."""
        sketches, photos = self.files.listing[0][name], self._of_role(name, "gallery")
        if not photos:
            return []
        rng = np.random.default_rng([self.settings.seed, *name.encode()])
        return [photos[at] for at in rng.integers(len(photos), size=len(sketches))]

    def _gallery(self, name: str) -> list[Path]:
        photos = self._of_role(name, "gallery")
        if self.settings.gallery != "zse_dup":
            return photos
        _, extended, base = self.files.sides
        if not base:
            raise SketchClipError(
                f"data.gallery=zse_dup repeats the base photos of Sketchy-Extended and needs both "
                f"folders, the extended photos and 256x256/photo; found {self.files.layout.photos} "
                "alone. Unpack the other one, or use --data.gallery=dedup."
            )
        return sorted([*extended.get(name, ()), *base.get(name, ())], key=lambda p: (p.name, p))

    @property
    def published_key(self) -> str:
        """Key of the published counts that hold for this split and gallery."""
        return self.dataset.published_key(self.split.name, self.settings.gallery, self.files)

    @cached_property
    def incomplete(self) -> str | None:
        """Classes of the published split that are missing, in words; None if none is."""
        if not self.split.complete:
            return f"{self.split.coverage} of {self.split.name} are here"
        expected = self.dataset.published.get(self.published_key)
        lacking = expected and shortfall(expected, *self._sketch_counts())
        return f"{lacking} of {self.split.name} are here" if lacking else None

    def _sketch_counts(self) -> tuple[int, int]:
        """Number of sketches of all classes of the split and of the unseen ones."""
        seen, unseen = (
            sum(len(self.files.listing[0][c]) for c in side)
            for side in (self.split.seen, self.split.unseen)
        )
        return seen + unseen, unseen

    def check(self) -> None:
        """Compare the files with the published figures, once.

        Raises:
            SketchClipError: If classes and sketches are complete and a figure deviates.
        """
        self._checked  # noqa: B018

    @cached_property
    def _checked(self) -> None:
        if self.incomplete:
            warn(
                f"{self.files.layout.root}: {self.incomplete}. Results are not comparable with "
                "published ones."
            )
            return
        expected = self.dataset.published.get(self.published_key)
        if expected:
            photos = sum(len(self._gallery(c)) for c in self.split.unseen)
            where = f"{type(self.dataset).__name__} ({self.published_key}) under "
            where += f"{self.files.layout.root}"
            check_figures(expected, self._sketch_counts()[1], photos, where)

    @property
    def protocol_name(self) -> str:
        """The protocol with what this run changes about it, for results."""
        parts = [self.dataset.protocol.name]
        if self.settings.gallery == "zse_dup":
            parts.append("base photos twice in the gallery (zse_dup)")
        if self.settings.gallery == "random_pairs":
            parts.append(
                "gallery: one random photo of its class for each sketch (random_pairs, as the "
                f"released code; seed {self.settings.seed})"
            )
        if self.settings.generalized:
            parts.append(
                f"generalised: gallery with {self.settings.generalized:g} of the photos of each "
                f"seen class (seed {self.settings.subset_seed})"
            )
        if self.settings.generalized_queries == "both":
            parts.append(
                "queries: sketches of unseen classes, and apart from these (seen_) sketches of "
                "the training classes that were held out; H_: harmonic mean of both"
            )
        if self.incomplete:
            parts.append(f"not comparable: {self.incomplete}")
        return "; ".join(parts)
