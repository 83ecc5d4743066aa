"""Published figures of a dataset, and whether the files on disk are the ones behind them."""

from dataclasses import dataclass

from sketchclip.errors import SketchClipError


@dataclass(frozen=True)
class Published:
    """Counts of a complete dataset under one split.

    Attributes:
        unseen_sketches: Queries of the test.
        unseen_photos: Gallery of the test.
        sketches: Number in all classes; None if only a rounded figure is known.
        photos: Number in all classes; for information, sources differ.
    """

    unseen_sketches: int
    unseen_photos: int
    sketches: int | None = None
    photos: int | None = None


def shortfall(expected: Published, sketches: int, unseen_sketches: int) -> str | None:
    """Sketches that a dataset lacks against the published counts, in words; None if none."""
    if expected.sketches is None and unseen_sketches != expected.unseen_sketches:
        return f"{unseen_sketches:,} of {expected.unseen_sketches:,} sketches of unseen classes"
    if expected.sketches not in (None, sketches):
        return f"{sketches:,} of {expected.sketches:,} sketches"
    return None


def check_figures(expected: Published, sketches: int, photos: int, where: str) -> None:
    """Compare counts of the unseen classes with the published ones.

    Raises:
        SketchClipError: If one deviates; it names all that do.
    """
    counts = (sketches, expected.unseen_sketches), (photos, expected.unseen_photos)
    wrong = [
        f"{side} of unseen classes: expected {wanted:,}, found {found:,}"
        for side, (found, wanted) in zip(("sketches", "photos"), counts, strict=True)
        if found != wanted
    ]
    if wrong:
        raise SketchClipError(
            f"{where} has all its classes and sketches, yet not the published counts: "
            f"{'; '.join(wrong)}. Results would not be comparable. Unpack the archive again, or "
            "use a text file of the unseen classes as --data.split to work with what is there."
        )
