"""What a dataset holds on disk: its files by class, and which classes are seen."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from data_modules.names import check_pairs, images_by_class
from data_modules.split import Split, carve_validation, resolve_split
from sketchclip.errors import SketchClipError

Validation = Literal["pseudo_unseen", "test_classes", "none"]
Listing = dict[str, list[Path]]


class Catalogue:
    """Files and split of a dataset; :class:`SketchPhotoDataModule` adds constructor and loaders."""

    layouts: ClassVar[Sequence[tuple[str, str]]] = (("sketch", "photo"),)
    """Pairs of (sketch folder, photo folder) under root, in the order they are tried."""

    default_split: ClassVar[str | None] = None

    root: str | None
    split_name: str | None
    validation: Validation
    val_fraction: float
    train_fraction: float
    seen_classes: int | None
    subset_seed: int
    generalized: float
    gallery: Literal["dedup", "zse_dup"]
    sketch_files: str | None
    photo_files: str | None

    def data_root(self) -> Path:
        """Folder of the dataset.

        Raises:
            SketchClipError: If none was given or it does not exist.
        """
        if self.root is None:
            raise SketchClipError(
                f"{type(self).__name__} needs a folder: --data.root=/path/to/data with "
                f"{self._layout_help()}."
            )
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise SketchClipError(
                f"Data root {root} does not exist. Expected a folder with {self._layout_help()}."
            )
        return root

    def _layout_help(self) -> str:
        return " or ".join(f"{s}/<class>/ and {p}/<class>/" for s, p in self.layouts)

    @cached_property
    def listing(self) -> tuple[Listing, Listing]:
        """Sketches and photos of every class that has both, by canonical class name."""
        root = self.data_root()
        for sketch_dir, photo_dir in self.layouts:
            if (root / sketch_dir).is_dir() and (root / photo_dir).is_dir():
                break
        else:
            found = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
            raise SketchClipError(
                f"{type(self).__name__}: expected {self._layout_help()} under {root}, "
                f"found {found}."
            )
        sketches, photos = images_by_class(root / sketch_dir), images_by_class(root / photo_dir)
        both, alone = check_pairs(sketches, photos)
        if alone:
            rank_zero_warn(
                f"{root}: left out {len(alone)} classes that have only sketches or only photos: "
                f"{', '.join(alone[:8])}"
            )
        return {c: sketches[c] for c in both}, {c: photos[c] for c in both}

    @cached_property
    def split(self) -> Split:
        """Seen and unseen classes, checked against the files."""
        name = self.split_name or self.default_split
        if name is None:
            raise SketchClipError(
                f"{type(self).__name__} has no split of its own. Name one: "
                "--data.split=random:<n_unseen>:<seed>, or a text file of unseen class names."
            )
        return resolve_split(name, self.listing[0])

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
            return list(self.split.unseen)
        return []

    @property
    def class_names(self) -> list[str]:
        """Training classes in the order of their labels."""
        held_out = self.val_classes if self.validation == "pseudo_unseen" else []
        return [c for c in self.split.seen if c not in held_out]

    def photo_role(self, photo: Path) -> Literal["train", "gallery", "both"]:
        """Whether a photo is for training, for galleries or (the default) for both."""
        return "both"

    def _photos(self, classes: Sequence[str], role: str) -> Listing:
        photos = self.listing[1]
        return {c: [p for p in photos[c] if self.photo_role(p) in (role, "both")] for c in classes}
