"""The benchmarks inside the package: real doodles and emoji, no download."""

import json
import shutil
import tempfile
import zipfile
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar, Literal

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol
from data_modules.cache import cache_folder
from data_modules.images.drawings import svg_of
from data_modules.images.render import Drawing, render_strokes
from data_modules.splits.published import Published
from sketchclip.errors import SketchClipError

HELD_OUT_VENDORS = frozenset({"noto", "openmoji"})
"""Emoji designers that the mini CLIP never saw: they form the galleries."""

_STROKES = "sketches.json"
_LAYOUT = b"strokes"
"""Changes when the same archive is laid out otherwise, so that it is unpacked anew."""


class BundledBenchmark(SketchPhotoDataModule):
    """An archive of the package, unpacked once into the cache (or into root) as class folders."""

    archive: ClassVar[str]

    def find_root(self, root: str | None) -> Path:
        """Unpack at first use; later runs and other processes find the folder."""
        with as_file(files("data_modules") / "benchmarks" / self.archive) as archive:
            if root is not None:
                target = Path(root).expanduser()
            else:
                version = sha256(archive.read_bytes() + _LAYOUT).hexdigest()[:8]
                target = cache_folder() / f"{archive.stem}-{version}"
            if not (target / "sketch").is_dir():
                _unpack(archive, target)
        return target


def read_doodles(archive: Path | None = None) -> dict[str, list[Drawing]]:
    """Doodles of a bundled benchmark as strokes, by class; of ``Doodles`` without an archive."""
    if archive is None:
        with as_file(files("data_modules") / "benchmarks" / Doodles.archive) as found:
            return read_doodles(found)
    with zipfile.ZipFile(archive) as source:
        if _STROKES not in source.namelist():
            return {}
        doodles = json.loads(source.read(_STROKES))
    return {name: [doodle["drawing"] for doodle in drawn] for name, drawn in doodles.items()}


def _unpack(archive: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        partial = building / target.name  # of the usual mode: mkdtemp's is for one user alone
        partial.mkdir()
    except OSError as error:
        raise SketchClipError(
            f"Cannot unpack {archive.name} into {target} ({error}). Name a writable folder with "
            "the environment variable SKETCHCLIP_CACHE or --data.root."
        ) from error
    try:
        with zipfile.ZipFile(archive) as source:
            members = [n for n in source.namelist() if n.split("/")[0] in ("photo", "sketch")]
            source.extractall(partial, members)
        for class_name, drawings in read_doodles(archive).items():
            folder = partial / "sketch" / class_name
            folder.mkdir(parents=True)
            for number, drawing in enumerate(drawings):
                render_strokes(drawing).save(folder / f"{number:02d}.png")
                (folder / f"{number:02d}.svg").write_text(svg_of(drawing))
        try:
            partial.rename(target)  # atomic: another process sees all of it or nothing
        except OSError:
            if not (target / "sketch").is_dir():
                raise SketchClipError(
                    f"{target} exists and holds no sketch folder. Remove it or name another "
                    "--data.root."
                ) from None
    finally:  # also if interrupted, or the disk is full
        shutil.rmtree(building, ignore_errors=True)


class Doodles(BundledBenchmark):
    """Quick, Draw! doodles and the same things as emoji by five designers; 64 unseen classes.

    Training uses the designers that the mini CLIP was pre-trained on; galleries hold the two that
    it never saw (Noto, OpenMoji).
    """

    archive = "doodles.zip"
    default_split = "doodles"
    protocol = Protocol(
        "gallery: Noto and OpenMoji renders of the evaluated classes, mAP@k strict",
        map_k=(),
        precision_k=(1, 5),
    )
    published: ClassVar[dict[str, Published]] = {"doodles": Published(1_280, 128, 4_680, 1_170)}

    def photo_role(self, photo: Path) -> Literal["train", "gallery"]:
        """Renders of held-out designers are galleries, the others are for training."""
        return "gallery" if photo.stem in HELD_OUT_VENDORS else "train"


class EmojiPairs(BundledBenchmark):
    """OpenMoji outlines and Fluent 3D renders of the same emoji, in Unicode's subgroups."""

    archive = "emoji_pairs.zip"
    default_split = "emoji_pairs"
    protocol = Protocol(
        "gallery: Fluent 3D renders of the evaluated subgroups, mAP@k strict",
        map_k=(200,),
        precision_k=(1, 5),
        instances=True,
    )
    published: ClassVar[dict[str, Published]] = {"emoji_pairs": Published(227, 227, 810, 810)}
