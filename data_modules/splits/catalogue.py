"""Which files training, queries and galleries get, and whether they are the published ones."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from data_modules.batch import Protocol
from data_modules.listing.scan import Listing
from data_modules.splits.classes import REMEDY, DatasetClasses
from data_modules.splits.classes import Validation as Validation
from data_modules.splits.published import Published, check_figures, shortfall
from data_modules.splits.subsets import draw, part
from sketchclip.errors import SketchClipError

Gallery = Literal["dedup", "zse_dup", "random_pairs"]


class Catalogue(DatasetClasses):
    """Files and split of a dataset; :class:`SketchPhotoDataModule` adds constructor and loaders."""

    published: ClassVar[Mapping[str, Published]] = {}
    """Figures of the complete dataset by :attr:`published_key`."""

    protocol: ClassVar[Protocol]

    train_fraction: float
    gallery: Gallery
    seed: int

    def train_sketches(self) -> Listing:
        """Sketches of the training classes."""
        return self._training[0]

    def train_photos(self) -> Listing:
        """Photos of the training classes."""
        return self._training[1]

    @cached_property
    def _training(self) -> tuple[Listing, Listing]:
        self.check()
        if not 0 < self.train_fraction <= 1:
            raise SketchClipError(
                f"data.train_fraction={self.train_fraction}: expected a part of the training "
                "samples of each class, above 0 and at most 1."
            )
        if len(self.class_names) < 2:
            raise SketchClipError(
                f"Split {self.split.name} leaves {len(self.class_names)} classes to train on: "
                f"{self.split.coverage} are under {self.layout.root}. Training needs at least 2. "
                f"{REMEDY}"
            )
        pairs = {name: self._training_of(name) for name in self.class_names}
        return {c: s for c, (s, _) in pairs.items()}, {c: p for c, (_, p) in pairs.items()}

    def _training_of(self, name: str) -> tuple[list[Path], list[Path]]:
        """Sketches and photos of a class: first generalized takes photos, then train_fraction."""
        sketches, photos = self.listing[0][name], self._of_role(name, "train")
        if self.generalized:
            moved = {*self._moved(name)}
            remaining = [path for path in photos if path not in moved]
        else:
            remaining = photos
        kept = self._part(remaining, "photos", name)
        if not kept:
            raise SketchClipError(
                f"Class '{name}' has no photo to train on under {self.layout.root}. Add photos or "
                "remove the class."
            )
        if len(kept) < len(photos):
            # Where every photo has sketches of its own, whole pairs are kept.
            drawn = {self.instance_of(path, "sketch") for path in sketches}
            if {self.instance_of(path, "photo") for path in photos} <= drawn:
                names = {self.instance_of(path, "photo") for path in kept}
                return [p for p in sketches if self.instance_of(p, "sketch") in names], kept
        return self._part(sketches, "sketches", name), kept

    def _part(self, files: list[Path], *key: str) -> list[Path]:
        if self.train_fraction == 1 or not files:
            return files
        count = part(self.train_fraction, len(files))
        return draw(files, [path.name for path in files], count, self.subset_seed, *key)

    def _moved(self, name: str) -> list[Path]:
        """Photos of a seen class that generalized puts into the test gallery."""
        photos = self._of_role(name, "gallery")
        count = part(self.generalized, len(photos))
        if {*self._of_role(name, "train")} <= {*photos}:
            count = min(count, len(photos) - 1)  # one stays for training
        names = [path.name for path in photos]
        return draw(photos, names, count, self.subset_seed, "generalized", name)

    def _of_role(self, name: str, role: str) -> list[Path]:
        return [p for p in self.listing[1][name] if self.photo_role(p) in (role, "both")]

    def query_sketches(self, classes: Sequence[str]) -> Listing:
        """Sketches that are queries: those of validation classes, or of a test's unseen ones.

        Args:
            classes: ``val_classes`` or ``test_classes``.

        Returns:
            Every class, with no sketch for the seen classes of a generalised test.
        """
        self.check()
        unseen = {*self.split.unseen}
        test = not unseen.isdisjoint(classes)
        return {c: self.listing[0][c] if c in unseen or not test else [] for c in classes}

    def gallery_photos(self, classes: Sequence[str]) -> Listing:
        """Photos to retrieve: all of each class, each once unless ``gallery`` says otherwise.

        Args:
            classes: ``val_classes`` or ``test_classes``.

        Returns:
            Every class; for the seen classes of a generalised test the part set aside for it.
        """
        self.check()
        unseen = {*self.split.unseen}
        test = not unseen.isdisjoint(classes)
        if self.gallery == "random_pairs":
            return {c: self._random_pairs(c) if c in unseen or not test else [] for c in classes}
        return {c: self._gallery(c) if c in unseen or not test else self._moved(c) for c in classes}

    def _random_pairs(self, name: str) -> list[Path]:
        """One photo for each sketch, drawn with replacement."""
        sketches, photos = self.listing[0][name], self._of_role(name, "gallery")
        if not photos:
            return []
        rng = np.random.default_rng([self.seed, *name.encode()])
        return [photos[at] for at in rng.integers(len(photos), size=len(sketches))]

    def _gallery(self, name: str) -> list[Path]:
        photos = self._of_role(name, "gallery")
        if self.gallery != "zse_dup":
            return photos
        _, extended, base = self.sides
        if not base:
            raise SketchClipError(
                f"data.gallery=zse_dup repeats the base photos of Sketchy-Extended and needs both "
                f"folders, the extended photos and 256x256/photo; found {self.layout.photos} "
                "alone. Unpack the other one, or use --data.gallery=dedup."
            )
        return sorted([*extended.get(name, ()), *base.get(name, ())], key=lambda p: (p.name, p))

    @property
    def published_key(self) -> str:
        """Which of the published figures hold for this split and gallery."""
        return self.split.name

    @cached_property
    def incomplete(self) -> str | None:
        """What the published split lacks here, in words; None if nothing."""
        if not self.split.complete:
            return f"{self.split.coverage} of {self.split.name} are here"
        expected = self.published.get(self.published_key)
        lacking = expected and shortfall(expected, *self._sketch_counts())
        return f"{lacking} of {self.split.name} are here" if lacking else None

    def _sketch_counts(self) -> tuple[int, int]:
        """Number of sketches of all classes of the split and of the unseen ones."""
        seen, unseen = (
            sum(len(self.listing[0][c]) for c in side)
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
            rank_zero_warn(
                f"{self.layout.root}: {self.incomplete}. Results are not comparable with "
                "published ones."
            )
            return
        expected = self.published.get(self.published_key)
        if expected:
            unseen_photos = sum(len(self._gallery(c)) for c in self.split.unseen)
            check_figures(
                {
                    "sketches of unseen classes": self._sketch_counts()[1],
                    "photos of unseen classes": unseen_photos,
                },
                {
                    "sketches of unseen classes": expected.unseen_sketches,
                    "photos of unseen classes": expected.unseen_photos,
                },
                f"{type(self).__name__} ({self.published_key}) under {self.layout.root}",
            )

    @property
    def protocol_name(self) -> str:
        """The protocol with what this run changes about it, for results."""
        parts = [self.protocol.name]
        if self.gallery == "zse_dup":
            parts.append("base photos twice in the gallery (zse_dup)")
        if self.gallery == "random_pairs":
            parts.append(
                "gallery: one random photo of its class for each sketch (random_pairs, as the "
                f"released code; seed {self.seed})"
            )
        if self.generalized:
            parts.append(
                f"generalised: gallery with {self.generalized:g} of the photos of each seen class "
                f"(seed {self.subset_seed})"
            )
        if self.incomplete:
            parts.append(f"not comparable: {self.incomplete}")
        return "; ".join(parts)
