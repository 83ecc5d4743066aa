"""Render icon and emoji packages into the corpus that the mini CLIP is pre-trained on.

    python tools/mini_clip/icon_corpus.py --packages npm/node_modules --out corpus [--fetch]

Writes ``train.npy`` and ``heldout.npy`` (N, size, size, 5) uint8: premultiplied RGBA and a line
drawing of the icon made by edge detection; ``*.json``, a record per image; and ``licences.md``.
Noto and OpenMoji are the benchmark's gallery and never enter ``train``.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import resvg_py
from PIL import Image

ICONIFY = {
    "emojione": "1.2.3", "emojione-monotone": "1.2.1", "fa6-regular": "1.2.4",
    "fa6-solid": "1.2.4", "flat-color-icons": "1.2.3", "fluent-color": "1.2.21",
    "fluent-emoji-flat": "1.2.6", "fluent-emoji-high-contrast": "1.2.6", "fxemoji": "1.2.2",
    "game-icons": "1.2.4", "healthicons": "1.2.13", "icon-park": "1.2.4", "iconoir": "1.2.11",
    "lucide": "1.2.137", "maki": "1.2.5", "marketeq": "1.2.2", "mdi": "1.2.3",
    "meteocons": "1.2.4", "noto": "1.2.9", "noto-v1": "1.2.5", "openmoji": "1.2.29",
    "ph": "1.2.2", "streamline-color": "1.2.2", "streamline-cyber-color": "1.2.2",
    "streamline-emojis": "1.2.4", "streamline-flex-color": "1.2.2",
    "streamline-kameleon-color": "1.2.2", "streamline-plump-color": "1.2.2",
    "streamline-sharp-color": "1.2.2", "streamline-stickies-color": "1.2.2",
    "streamline-ultimate-color": "1.2.2", "tabler": "1.2.41", "temaki": "1.2.6", "twemoji": "1.2.5",
}  # fmt: skip
OTHER = {"@lobehub/fluent-emoji-3d": "1.1.0", "emojibase-data": "17.0.0"}
HELD_OUT = ("noto", "noto-v1", "openmoji")
# emoji sets are named through Unicode; every other set through its own file names
EMOJI = {*HELD_OUT, "twemoji", "emojione", "emojione-monotone", "fxemoji", "streamline-emojis",
         "fluent-emoji-flat", "fluent-emoji-high-contrast"}  # fmt: skip
# their drawings are already strokes, so their line drawing is the icon itself
LINE_SETS = {"lucide", "tabler", "iconoir", "emojione-monotone", "fa6-regular", "openmoji"}
# share-alike and GPL licences do not match
PERMISSIVE = re.compile(r"^(MIT|Apache-2\.0|ISC|CC0-1\.0|CC-BY-\d\.\d)$")
STYLE = set(
    "outline outlined filled fill bold light thin duotone duo line solid flat color rounded round "
    "sharp twotone alt variant negative stroked regular simple 24px one two three four".split()
)
MODIFIERS = set(
    "off plus minus check checked remove cancel edit cog x alert share pause question dollar up "
    "bolt exclamation down left right add delete slash settings refresh sync search star "
    "heart".split()
)
DROP = set(
    "letter number numbers arrow arrows chevron chevrons caret logo brand alphabet numeric alpha "
    "sort format align border clock12 flag flags button microsoft google apple amazon facebook "
    "twitter windows android adobe github gitlab sign input symbol keycap hexagram".split()
)
# symbol subgroups (transport signs, arrows, keycaps, ...), skin and hair components, flags
DROP_SUBGROUPS = {32, 33, 83, 85, 88, 89, 90, 91, 92, 93, 94, 95, 97, 98, 99}


def norm_hex(code: str) -> str:
    """Upper-case a code point sequence and drop the variation selector."""
    return "-".join(p for p in code.upper().split("-") if p != "FE0F")


def squash(name: str) -> str:
    """Reduce a name to letters and digits: sets spell ``beating-heart`` and ``beatingheart``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def words(name: str) -> str:
    """Turn a Unicode label or slug into a plain lower-case caption."""
    return re.sub(r"[^a-z0-9&']+", " ", name.lower().replace("\u2019", "'")).strip()


def icon_caption(name: str) -> str | None:
    """Turn an icon's file name into a caption, or None if it names no thing."""
    parts = [p for p in name.split("-") if not re.fullmatch(r"\d+[a-z]{0,2}", p)]
    while len(parts) > 1 and parts[-1] in STYLE:
        parts.pop()
    if not parts or DROP & set(parts) or (len(parts) > 1 and parts[-1] in MODIFIERS):
        return None
    return " ".join(parts) if len("".join(parts)) > 2 and parts[0] not in MODIFIERS else None


class EmojiNames:
    """Names, tags and code points of Unicode's emoji, from ``emojibase-data``."""

    def __init__(self, root: Path) -> None:
        """Read the label table and every shortcode table under ``root``."""
        self.captions: dict[str, list[str]] = {}
        self.tags: dict[str, list[str]] = {}
        self.by_name: dict[str, str] = {}
        for row in json.loads((root / "en/data.json").read_text("utf-8")):
            label = words(row["label"])
            unwanted = row.get("subgroup") in DROP_SUBGROUPS or "group" not in row
            if unwanted or re.search(r"o'clock|thirty|skin tone", label):
                continue
            code = norm_hex(row["hexcode"])
            self.captions[code] = [label]
            self.tags[code] = [words(t) for t in row.get("tags", []) if re.match("[a-z]{3}", t)]
            self.by_name[squash(label)] = code
        for table in ("cldr", "github", "joypixels", "emojibase", "iamcal"):
            codes = json.loads((root / f"en/shortcodes/{table}.json").read_text("utf-8"))
            for code, names in codes.items():
                for name in [names] if isinstance(names, str) else names:
                    if norm_hex(code) in self.captions:
                        self.by_name.setdefault(squash(name), norm_hex(code))

    def record(self, code: str | None, name: str) -> dict | None:
        """Captions of an emoji given by code point or, failing that, by name."""
        code = norm_hex(code) if code else self.by_name.get(squash(re.sub(r"-\d$", "", name)))
        if code not in self.captions:
            return None
        own = [words(name)] if re.fullmatch(r"[a-z]+(-[a-z]+)+", name) else []
        captions = list(dict.fromkeys(self.captions[code] + own))
        return {"codepoint": code, "captions": captions, "tags": self.tags[code]}


def read_set(root: Path, prefix: str, emoji: EmojiNames) -> Iterator[tuple[dict, str]]:
    """Yield (record, SVG text) for every usable icon of one iconify package."""
    folder = root / "@iconify-json" / prefix
    data = json.loads((folder / "icons.json").read_text("utf-8"))
    info = json.loads((folder / "info.json").read_text("utf-8"))
    licence = info["license"]["spdx"]
    if not PERMISSIVE.match(licence) and prefix not in HELD_OUT:
        raise SystemExit(f"{prefix}: licence {licence} is not permissive; leave the set out")
    chars = json.loads((folder / "chars.json").read_text()) if prefix in EMOJI else {}
    code_of = {name: code for code, name in chars.items()}
    for name, icon in data["icons"].items():
        if prefix in EMOJI:
            # missing in a set's table: a skin tone or a hidden duplicate of a listed emoji
            listed = not chars or name in code_of
            found = emoji.record(code_of.get(name), name) if listed else None
        else:
            caption = icon_caption(name)
            skip = prefix == "ph" and name.endswith(("-bold", "-light"))  # near copies of regular
            found = None if not caption or skip else {"captions": [caption], "tags": []}
        if found is None or icon.get("hidden"):
            continue
        width, height = (icon.get(k, data.get(k, 16)) for k in ("width", "height"))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        svg = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        svg += f'viewBox="{box}" width="{width}" height="{height}">{icon["body"]}</svg>'
        line = prefix in LINE_SETS or (prefix == "ph" and not name.endswith(("-fill", "-duotone")))
        record = {"set": prefix, "name": name, "licence": licence, "line": line}
        yield record | {"mono": not info.get("palette", False)} | found, svg


def read_fluent_3d(root: Path, emoji: EmojiNames) -> Iterator[tuple[dict, str]]:
    """Yield (record, file name) for Fluent's 3D renders, which come as WebP files."""
    for path in sorted((root / "@lobehub/fluent-emoji-3d/assets").glob("*.webp")):
        if found := emoji.record(path.stem, path.stem):
            record = {"set": "fluent-3d", "name": path.stem, "licence": "MIT"}
            yield record | {"line": False, "mono": False} | found, str(path)


def line_drawing(rgba: np.ndarray) -> np.ndarray:
    """Draw the edges of an image: its outline strongest, inner edges by their contrast."""
    alpha = rgba[..., 3].astype(np.float32)
    rgb = rgba[..., :3].astype(np.float32) + 255 - alpha[..., None]
    lab = cv2.cvtColor(np.clip(rgb, 0, 255).astype(np.uint8), cv2.COLOR_RGB2LAB)
    inner = np.zeros(alpha.shape, np.uint8)
    for low, value in ((25, 90), (60, 130), (120, 180)):
        for channel in range(3):
            smooth = cv2.GaussianBlur(lab[..., channel], (0, 0), 1.2)
            inner = np.maximum(inner, cv2.Canny(smooth, low, low * 2.5) // 255 * np.uint8(value))
    outline = cv2.Canny(rgba[..., 3], 80, 160)
    return cv2.dilate(np.maximum(inner, outline), cv2.getStructuringElement(2, (3, 3)))


def render(job: tuple[dict, str, int]) -> np.ndarray | None:
    """Render one icon to (size, size, 5), or None if nothing is drawn."""
    record, source, size = job
    big = 2 * size
    try:
        if record["set"] == "fluent-3d":
            image = Image.open(source)
        else:
            svg = source.replace("currentColor", "#000")
            png = resvg_py.svg_to_bytes(svg_string=svg, height=big, skip_system_fonts=True)
            image = Image.open(io.BytesIO(bytes(png)))
        image = image.convert("RGBA")
    except (ValueError, OSError):
        return None
    image.thumbnail((big, big), Image.Resampling.BOX)
    canvas = Image.new("RGBA", (big, big))
    canvas.paste(image, ((big - image.width) // 2, (big - image.height) // 2))
    rgba = np.asarray(canvas).astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255  # premultiplied: warping must not bleed hidden colours
    rgba = rgba.round().astype(np.uint8)
    edge = rgba[..., 3] if record["line"] else line_drawing(rgba)
    full = np.concatenate([rgba, edge[..., None]], -1)
    small = full.reshape(size, 2, size, 2, 5).astype(np.uint16).sum((1, 3)) // 4
    return small.astype(np.uint8) if (small[..., 3] > 64).mean() > 0.01 else None


def write(jobs: list[tuple[dict, str, int]], out: Path, workers: int) -> list[dict]:
    """Render ``jobs`` in a pool and write the array and its records; returns the records."""
    size, kept, raw = jobs[0][2], [], out.with_suffix(".raw")
    with raw.open("wb") as file, Pool(workers) as pool:
        for (record, _, _), image in zip(jobs, pool.imap(render, jobs, 64), strict=True):
            if image is not None:
                file.write(image.tobytes())
                kept.append(record)
    pixels = np.memmap(raw, np.uint8, "r", shape=(len(kept), size, size, 5))
    np.save(out.with_suffix(".npy"), pixels)
    raw.unlink()
    out.with_suffix(".json").write_text(json.dumps(kept, ensure_ascii=False, indent=0), "utf-8")
    print(f"{out.name}: {len(kept)} images")
    return kept


def main() -> None:
    """Parse the command line, fetch on request, render, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, required=True, help="a node_modules folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fetch", action="store_true", help="npm install the pinned packages")
    args = parser.parse_args()
    if args.fetch:
        pins = [f"@iconify-json/{k}@{v}" for k, v in ICONIFY.items()]
        pins += [f"{k}@{v}" for k, v in OTHER.items()]
        subprocess.run(["npm", "install", "--prefix", args.packages.parent, *pins], check=True)
    args.out.mkdir(parents=True, exist_ok=True)
    emoji, train, heldout = EmojiNames(args.packages / "emojibase-data"), [], []
    for prefix in sorted(ICONIFY):
        part = heldout if prefix in HELD_OUT else train
        part += [(r, svg, args.size) for r, svg in read_set(args.packages, prefix, emoji)]
    train += [(r, path, args.size) for r, path in read_fluent_3d(args.packages, emoji)]
    rows = write(train, args.out / "train", args.workers)
    rows += write(heldout, args.out / "heldout", args.workers)
    count = Counter((r["set"], r["licence"]) for r in rows)
    table = ["| set | licence | images | used for |", "|---|---|---|---|"] + [
        f"| {name} | {licence} | {n} | {'held out' if name in HELD_OUT else 'training'} |"
        for (name, licence), n in sorted(count.items())
    ]
    (args.out / "licences.md").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
