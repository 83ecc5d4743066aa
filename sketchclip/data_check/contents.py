"""Contents of a dataset on disk, including one that a data module refuses."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_modules.base import SketchPhotoDataModule
from data_modules.listing.scan import PHOTOS, SKETCHES, Listing, merge, renamed
from data_modules.splits.published import Published
from data_modules.splits.split import Split, packaged_list, resolve_split
from sketchclip.data_check.survey import Survey, survey
from sketchclip.errors import SketchClipError


@dataclass
class Contents:
    """A dataset on disk, as far as it could be listed.

    Attributes:
        data: The data module, with the requested split.
        sketches: Sketches of each class, all classes.
        photos: Photos of each class, all classes, each photo once.
        surveys: One for each folder.
        repeated: Photos of the original Sketchy that the extension holds too.
        refused: Reason why a data module does not list it, else empty.
        split: Split restricted to the classes on disk; None if it cannot be used.
        problem: Reason why the split cannot be used.
    """

    data: SketchPhotoDataModule
    sketches: Listing
    photos: Listing
    surveys: list[Survey]
    repeated: list[Path]
    refused: str = ""
    split: Split | None = None
    problem: str = ""

    @property
    def both(self) -> list[str]:
        """Classes that have sketches and photos."""
        return sorted(self.sketches.keys() & self.photos.keys())

    @property
    def listed(self) -> set[str]:
        """Classes that a packaged split names; none for other splits."""
        name = self.data.catalogue.settings.split or self.data.default_split or ""
        return {*packaged_list(name, "seen"), *packaged_list(name, "unseen")}

    @property
    def published(self) -> Published | None:
        """Published counts for this split and these folders, if any."""
        try:
            return self.data.published.get(self.data.catalogue.published_key)
        except SketchClipError:  # a dataset that cannot be listed has other problems
            return None

    def lost(self, name: str) -> list[Path]:
        """List the sketches of a class whose photo is missing."""
        instance = self.data.instance_of
        photos = {instance(path, "photo") for path in self.photos[name]}
        return [p for p in self.sketches[name] if instance(p, "sketch") not in photos]

    def files(self) -> list[Path]:
        """List every image once."""
        return [p for side in (self.sketches, self.photos) for f in side.values() for p in f]


def look(data: SketchPhotoDataModule) -> Contents:
    """List a dataset, including one that a data module refuses."""
    found = data.catalogue.files.layout
    folders = ((found.sketches, SKETCHES), (found.photos, PHOTOS), (found.base, PHOTOS))
    surveys = [survey(folder, extensions) for folder, extensions in folders if folder]
    refused = ""
    try:
        sketches, photos, base = data.catalogue.files.sides
    except SketchClipError as error:
        if not surveys:  # patterns that match nothing
            raise
        refused = str(error)
        split = data.default_split or ""
        reference = [*packaged_list(split, "seen"), *packaged_list(split, "unseen")]
        names = [found.names for found in (*surveys, Survey())[:3]]
        sketches, photos, base = (renamed(listing, reference) for listing in names)
        photos, base = renamed(photos, sketches), renamed(base, sketches)
    merged = merge(photos, base)
    kept = {path for files in merged.values() for path in files}
    repeated = [path for files in base.values() for path in files if path not in kept]
    contents = Contents(data, sketches, merged, surveys, repeated, refused)
    name = data.catalogue.settings.split or data.default_split
    if name is not None:
        try:
            contents.split = resolve_split(name, contents.both)
        except SketchClipError as error:
            contents.problem = str(error)
    return contents


def count(contents: Contents, classes: Iterable[str]) -> dict[str, int]:
    """Count classes, sketches, photos and pairs of the classes that have both sides."""
    names = [name for name in classes if name in contents.sketches and name in contents.photos]
    sketches = sum(len(contents.sketches[name]) for name in names)
    return {
        "classes": len(names),
        "sketches": sketches,
        "photos": sum(len(contents.photos[name]) for name in names),
        "pairs": sketches - sum(len(contents.lost(name)) for name in names),
    }
