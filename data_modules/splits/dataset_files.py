"""The files of a dataset by class, wherever its archive put them."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from data_modules.listing.entries import no_folder
from data_modules.listing.layouts import PLAIN, FoundLayout, Layout, find_layout, in_words
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
from data_modules.splits.published import Published
from data_modules.splits.split import packaged_list
from sketchclip.errors import SketchClipError

if TYPE_CHECKING:
    from data_modules.batch import Protocol
    from data_modules.transforms import Side


class Dataset:
    """Facts about a dataset, which its data module declares; no file is looked at."""

    layouts: ClassVar[Sequence[Layout]] = (PLAIN,)
    """Layouts of folders under root, in the order they are tried."""

    default_split: ClassVar[str | None] = None
    """Name of a split in the package, whose spelling the classes take."""

    instance_pattern: ClassVar[str] = r"(.+)-\d+"
    """Name of a sketch without its ending; the group is the name of its photo."""

    published: ClassVar[Mapping[str, Published]] = {}
    """Counts of the complete dataset by :meth:`published_key`."""

    protocol: ClassVar["Protocol"]
    """Protocol by which results are measured."""

    def find_root(self, root: str | None) -> Path:
        """Folder of the dataset, by what the user named.

        Raises:
            SketchClipError: If none was named or it does not exist.
        """
        expected = in_words(self.layouts)
        if root is None:
            raise SketchClipError(
                f"{type(self).__name__} needs a folder: --data.root=/path/to/data with {expected}."
            )
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise SketchClipError(
                f"Data root {folder} {no_folder(folder)}. Expected a folder with {expected}."
            )
        return folder

    def photo_role(self, photo: Path) -> Literal["train", "gallery", "both"]:
        """Whether a photo is for training, for galleries or (the default) for both."""
        return "both"

    def instance_of(self, path: Path, side: "Side") -> str:
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

    def published_key(self, split: str, gallery: str, files: "DatasetFiles") -> str:
        """Key of the published counts that hold for a split, a gallery and the folders found."""
        return split


class DatasetFiles:
    """Sketches and photos of a dataset on disk, found and listed when they are first asked for.

    Args:
        dataset: Facts about the dataset.
        root: Folder that the user named.
        sketch_files: Pattern in place of the dataset's own layout of sketches.
        photo_files: The same for photos.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | None = None,
        sketch_files: str | None = None,
        photo_files: str | None = None,
    ) -> None:
        self.dataset = dataset
        self.named_root = root
        self.sketch_files = sketch_files
        self.photo_files = photo_files

    @cached_property
    def root(self) -> Path:
        """Folder of the dataset."""
        return self.dataset.find_root(self.named_root)

    @cached_property
    def layout(self) -> FoundLayout:
        """Name of the layout and the folders found."""
        if self.sketch_files and self.photo_files:
            return FoundLayout("data.sketch_files and data.photo_files", self.root, None, None)
        return find_layout(self.root, self.dataset.layouts, type(self.dataset).__name__)

    @cached_property
    def sides(self) -> tuple[Listing, Listing, Listing]:
        """All sketches, photos, and Sketchy's own photos where they are apart from ``photos``.

        Classes have the spelling of the dataset's split, else that of the sketches. They may be
        in one side only.
        """
        found, root = self.layout, self.root
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
        split = self.dataset.default_split or ""
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
            warn(
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


def _known(folder: Path | None) -> Path:
    assert folder is not None, "a layout without this folder comes with a pattern for it"
    return folder


def warn(message: str) -> None:
    """Warn, in the first of several processes."""
    rank = next(
        (os.environ[n] for n in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if n in os.environ), "0"
    )
    if rank == "0":
        warnings.warn(message, stacklevel=3)
