"""Small copies of the archives: every layout with the folder and file names of its source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

import data_modules
from data_modules.splits.catalogue import Catalogue
from data_modules.splits.split import read_class_list

SPLITS = Path(data_modules.__file__).parent / "splits"

STROKES = '"drawing": [[[0, 90, 255], [0, 200, {0}]], [[30, 60], [{0}, 10]]]'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 800">{}</svg>'


def as_published(name: str) -> str:
    return name


def underscored(name: str) -> str:
    """As sem-pcyc renames the folders."""
    return name.replace(" ", "_").replace("-", "_")


@dataclass(frozen=True)
class Tree:
    """Where an archive puts the files of a class, and what it calls them.

    ``{c}`` is the class, ``{w}`` its WordNet id, ``{n}`` the number of the photo, ``{k}`` that of
    the sketch.
    """

    dataset: str
    sketch: str
    photo: str
    extended: str | None = None  # holds all photos and as many again
    spell: Callable[[str], str] = as_published
    arguments: dict[str, str] = field(default_factory=dict)


# With the spelling traps of each archive. Each split of the package has two unseen ones or more.
CLASSES = {
    "Sketchy": [
        *("airplane", "car_(sedan)", "hot-air_balloon", "jack-o-lantern", "alarm_clock", "cup"),
        *("harp", "door", "tree", "windmill"),
    ],
    "TUBerlin": [
        *("airplane", "pipe (for smoking)", "car (sedan)", "alarm clock", "tablelamp", "swan"),
        *("t-shirt", "frying-pan", "hot air balloon", "bottle opener", "table", "rollerblades"),
    ],
    "QuickDraw": [
        *("airplane", "hot-air_balloon", "eiffel tower", "teddy_bear", "soccer ball"),
        *("palm tree", "fire_hydrant", "cow"),
    ],
    "SketchPhotoFolder": ["bee", "c", "c++", "St. Bernard", "bird's nest", "red panda", "犬", "3d"],
}

_SKETCH, _PHOTO = "{c}/{w}_{n}-{k}.png", "{c}/{w}_{n}.jpg"
_OWN = ("256x256/sketch/tx_000000000000", "256x256/photo/tx_000000000000")
_TU, _QUICK = ("{c}/{k}.png", "{c}/{w}_{n}.JPEG"), ("{c}/{k:016d}.png", "{c}/image_{n:05d}.jpg")

LAYOUTS: dict[str, Tree] = {
    "sketchy": Tree("Sketchy", f"{_OWN[0]}/{_SKETCH}", f"{_OWN[1]}/{_PHOTO}"),
    "sketchy_extended": Tree(
        "Sketchy", f"{_OWN[0]}/{_SKETCH}", f"{_OWN[1]}/{_PHOTO}", "EXTEND_image_sketchy"
    ),
    "sketchy_rendered": Tree(
        "Sketchy",
        f"rendered_256x256/{_OWN[0]}/{_SKETCH}",
        f"rendered_256x256/{_OWN[1]}/{_PHOTO}",
        "EXTEND_image_sketchy",
    ),
    "sketchy_ready": Tree(
        "Sketchy",
        f"{_OWN[0]}_ready/{_SKETCH}",
        f"{_OWN[1]}_ready/{_PHOTO}",
        "EXTEND_image_sketchy_ready",
    ),
    "sketchy_sempcyc": Tree(
        "Sketchy",
        f"sketch/tx_000000000000/{_SKETCH}",
        f"photo/tx_000000000000/{_PHOTO}",
        spell=underscored,
    ),
    "sketchy_sempcyc_extended": Tree(
        "Sketchy",
        f"sketch/tx_000000000000/{_SKETCH}",
        f"photo/tx_000000000000/{_PHOTO}",
        "extended/photo",
        underscored,
    ),
    "sketchy_doodle2search": Tree(
        "Sketchy",
        f"Sketchy/sketch/tx_000000000000/{_SKETCH}",
        f"Sketchy/photo/tx_000000000000/{_PHOTO}",
        "EXTEND_image_sketchy",
    ),
    "sketchy_plain": Tree("Sketchy", f"sketch/{_SKETCH}", f"photo/{_PHOTO}"),
    "tuberlin_ready": Tree("TUBerlin", f"png_ready/{_TU[0]}", f"ImageResized_ready/{_TU[1]}"),
    "tuberlin_own": Tree("TUBerlin", f"png/{_TU[0]}", f"ImageResized/{_TU[1]}"),
    "tuberlin_svg": Tree("TUBerlin", "svg/{c}/{k}.svg", f"ImageResized/{_TU[1]}"),
    "tuberlin_sempcyc": Tree(
        "TUBerlin", f"sketches/{_TU[0]}", "images/{c}/{w}_{n}.jpg", spell=underscored
    ),
    "quickdraw_final": Tree(
        "QuickDraw",
        f"QuickDraw_sketches_final/{_QUICK[0]}",
        f"QuickDraw_images_final/{_QUICK[1]}",
    ),
    "quickdraw_sempcyc": Tree(
        "QuickDraw", f"sketches/{_QUICK[0]}", f"images/{_QUICK[1]}", spell=underscored
    ),
    "quickdraw_ndjson": Tree("QuickDraw", "sketches/{c}.ndjson", f"images/{_QUICK[1]}"),
    "folder": Tree("SketchPhotoFolder", "sketch/{c}/{n}-{k}.png", "photo/{c}/{n}.jpg"),
    "folder_plural": Tree("SketchPhotoFolder", "Sketches/{c}/{k}.PNG", "Images/{c}/{n}.webp"),
    "folder_by_class": Tree(
        "SketchPhotoFolder",
        "{c}/sketch/{k}.png",
        "{c}/photo/{n}.jpg",
        arguments={"sketch_files": "<class>/sketch/*", "photo_files": "<class>/photo/*"},
    ),
    "folder_by_name": Tree(
        "SketchPhotoFolder",
        "{c}/{k}_sketch.png",
        "{c}/{n}.png",
        arguments={"sketch_files": "<class>/*_sketch.png", "photo_files": "<class>/*"},
    ),
    "folder_nested": Tree(
        "SketchPhotoFolder",
        "drawn/{c}_{k}.bmp",
        "photos/{c}/{n}/front/a.jpeg",
        arguments={"sketch_files": "drawn/<class>_*", "photo_files": "photos/<class>/**"},
    ),
}
"""By name; ``arguments`` are those that the data module needs beside root."""


def build(
    name: str,
    root: Path,
    classes: Sequence[str] | None = None,
    sketches: int = 2,
    photos: int = 3,
) -> Path:
    """Write a small copy of an archive.

    Args:
        name: Key of ``LAYOUTS``.
        root: Folder to write into; created if it is missing.
        classes: Names as the archive's own lists spell them; by default some with their traps.
        sketches: Number a class. Where names pair them, sketch k is of photo k modulo photos.
        photos: Number a class; the extended folder has as many again.

    Returns:
        ``root``.
    """
    tree = LAYOUTS[name]
    for number, spelled in enumerate(classes or CLASSES[tree.dataset]):
        values = {"c": tree.spell(spelled), "w": f"n{2000000 + 37 * number:08d}"}
        drawn = [tree.sketch.format(n=k % photos, k=k + 1, **values) for k in range(sketches)]
        taken = [tree.photo.format(n=n, k=0, **values) for n in range(photos)]
        if tree.extended:
            names = [Path(path).name for path in taken] + [f"ext_{n}.jpg" for n in range(photos)]
            taken += [f"{tree.extended}/{values['c']}/{name}" for name in names]
        for index, relative in enumerate(drawn):
            _write(root / relative, (255, 255, 255), (number, index))
        for relative in taken:
            # A photo in two folders is the same image.
            seed = sum(map(ord, Path(relative).name if tree.extended else relative))
            hue = tuple(int(v) for v in np.random.default_rng((number, seed)).integers(40, 216, 3))
            _write(root / relative, hue, (number, seed))
    return root


def _write(path: Path, background: tuple[int, ...], seed: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    level = int(np.random.default_rng(seed).integers(20, 230))
    if path.suffix == ".ndjson":
        with path.open("a", encoding="utf-8") as file:
            file.write(f'{{"word": "{path.stem}", {STROKES.format(level)}}}\n')
    elif path.suffix == ".svg":
        path.write_text(SVG.format(f'<path fill="none" stroke="black" d="M 9 9 L 700 {level}"/>'))
    else:
        image = Image.new("RGB", (24, 20), background)
        for x, y in product(range(4, 20), range(3)):
            image.putpixel((x, (level + x) % 17 + y), (0, 0, level // 2))
        # Pillow knows no .JPEG in capitals by itself on every version.
        image.save(path, format={"jpg": "JPEG", "jpeg": "JPEG"}.get(path.suffix[1:].lower()))


def open_tree(name: str, root: Path, **settings: object) -> Catalogue:
    tree = LAYOUTS[name]
    split = None if tree.dataset != "SketchPhotoFolder" else "random:2:0"
    arguments = {"root": str(root), "split": split, "num_workers": 0, **tree.arguments, **settings}
    return getattr(data_modules, tree.dataset)(**arguments)


def paths(listing: dict[str, list[Path]]) -> list[Path]:
    return [path for files in listing.values() for path in files]


def class_list(name: str, side: str) -> list[str]:
    return read_class_list((SPLITS / f"{name}_{side}.txt").read_text("utf-8"))
