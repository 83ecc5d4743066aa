"""The files of a dataset by class, wherever its archive put them."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from data_modules.listing.layouts import PLAIN, FoundLayout, Layout, find_layout
from data_modules.listing.names import shorten
from data_modules.listing.scan import (
    PHOTOS,
    SKETCHES,
    Listing,
    list_folder,
    list_pattern,
    merge,
    renamed,
    without,
)
from data_modules.splits.split import packaged_list
from data_modules.transforms import Side
from sketchclip.errors import SketchClipError


class DatasetFiles:
    """Finds and lists sketches and photos, as a data module's root and patterns say."""

    layouts: ClassVar[Sequence[Layout]] = (PLAIN,)
    """Where the folders may lie under root, in the order they are tried."""

    default_split: ClassVar[str | None] = None
    """Name of a split in the package, whose spelling the classes take."""

    instance_pattern: ClassVar[str] = r"(.+)-\d+"
    """Name of a sketch without its ending; the group is the name of its photo."""

    root: str | None
    sketch_files: str | None
    photo_files: str | None

    def data_root(self) -> Path:
        """Folder of the dataset.

        Raises:
            SketchClipError: If none was given or it does not exist.
        """
        expected = " or ".join(map(str, self.layouts))
        if self.root is None:
            raise SketchClipError(
                f"{type(self).__name__} needs a folder: --data.root=/path/to/data with {expected}."
            )
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise SketchClipError(
                f"Data root {root} does not exist. Expected a folder with {expected}."
            )
        return root

    @cached_property
    def layout(self) -> FoundLayout:
        """Name of the layout and the folders found."""
        root = self.data_root()
        if self.sketch_files and self.photo_files:
            return FoundLayout("data.sketch_files and data.photo_files", root, None, None)
        return find_layout(root, self.layouts, type(self).__name__)

    @cached_property
    def sides(self) -> tuple[Listing, Listing, Listing]:
        """All sketches, photos, and Sketchy's own photos where they are apart from ``photos``.

        Classes have the spelling of the dataset's split, else that of the sketches. They may be
        in one side only.
        """
        found, root = self.layout, self.data_root()
        base: Listing = {}
        if self.sketch_files:
            sketches = list_pattern(root, self.sketch_files, SKETCHES)
        else:
            sketches = list_folder(_known(found.sketches), SKETCHES)
        if self.photo_files:
            photos = list_pattern(root, self.photo_files, PHOTOS)
        else:
            photos = list_folder(_known(found.photos), PHOTOS)
            base = list_folder(found.base, PHOTOS) if found.base else {}
        if self.sketch_files or self.photo_files:
            photos = without(photos, sketches)
            if not photos:
                raise SketchClipError(
                    f"data.photo_files={self.photo_files} matches no image that is no sketch by "
                    f"data.sketch_files={self.sketch_files}. Make the pattern of the sketches "
                    "narrower, such as '<class>/*_sketch.png'."
                )
        split = self.default_split or ""
        reference = [*packaged_list(split, "seen"), *packaged_list(split, "unseen")]
        sketches = renamed(sketches, reference)
        photos, base = (renamed(renamed(x, reference), sketches) for x in (photos, base))
        return sketches, photos, base

    @cached_property
    def listing(self) -> tuple[Listing, Listing]:
        """Sketches and photos of every class that has both, by canonical class name."""
        sketches, photos, base = self.sides
        photos = merge(photos, base) if base else photos
        if self.alone:
            rank_zero_warn(
                f"{self.layout.root}: left out {len(self.alone)} classes that have only sketches "
                f"or only photos: {shorten(self.alone)}."
            )
        both = sorted(sketches.keys() & photos.keys())
        return {c: sketches[c] for c in both}, {c: photos[c] for c in both}

    @cached_property
    def alone(self) -> list[str]:
        """Classes that have only sketches or only photos."""
        sketches, photos, base = self.sides
        return sorted(sketches.keys() ^ (photos.keys() | base.keys()))

    def photo_role(self, photo: Path) -> Literal["train", "gallery", "both"]:
        """Whether a photo is for training, for galleries or (the default) for both."""
        return "both"

    def instance_of(self, path: Path, side: Side) -> str:
        """Name that a sketch shares with its photo, within one class.

        Args:
            path: The file.
            side: sketch or photo.

        Returns:
            The photo's name without ending; for a sketch that follows no pattern its own.
        """
        if side == "photo":
            return path.stem
        match = re.fullmatch(self.instance_pattern, path.stem)
        return match[1] if match else path.stem


def _known(folder: Path | None) -> Path:
    assert folder is not None, "a layout without this folder comes with a pattern for it"
    return folder
