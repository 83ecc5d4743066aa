"""Measure the mini CLIP during pre-training, on validation classes and held-out vendors only.

    python tools/mini_clip/evaluate.py --corpus corpus --val starter \
        --weights main=run/latest.safetensors --curve main=run/curve.csv --out results/mini_clip

Prints and writes ``metrics.json``, and with ``--curve`` copies the curves and plots them.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from data import read_codes
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.v2.functional import normalize, pil_to_tensor, resize

from data_modules import Doodles
from sketchclip.clip.mini import MINI_NAME, create_mini

SPLITS = Path(__file__).parents[2] / "data_modules" / "splits"
CODES = Path(__file__).parents[1] / "bundled_data" / "doodle_classes.json"
GALLERY = ("noto", "openmoji")


def draw(strokes: list[list[list[int]]], canvas: int = 224, width: int = 5) -> Image.Image:
    """Draw a doodle's strokes (256 x 256 space) centred, black on white."""
    points = np.concatenate([np.array(s[:2]).T for s in strokes])
    low, span = points.min(0), max(np.ptp(points, 0).max(), 1)
    factor = canvas * 0.86 / span
    offset = (canvas - (points.max(0) - low) * factor) / 2
    image = Image.new("RGB", (canvas, canvas), "white")
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        path = [tuple(p) for p in (np.array(stroke[:2]).T - low) * factor + offset]
        pen.line(path * 2 if len(path) == 1 else path, "black", width, "curve")
    return image


def prepare(images: list[Image.Image], size: int = 56) -> Tensor:
    """Resize and normalise as in use: white background, bicubic, CLIP's statistics."""
    out = [resize(pil_to_tensor(i.convert("RGB")), [size, size], 3, antialias=True) for i in images]
    pixels = torch.stack(out).float() / 255
    return normalize(pixels, list(OPENAI_DATASET_MEAN), list(OPENAI_DATASET_STD))


def mean_average_precision(scores: Tensor, relevant: Tensor) -> float:
    """Mean over queries (rows) of the average precision over the full gallery."""
    hits = relevant.gather(1, scores.argsort(1, descending=True)).float()
    precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
    return ((precision * hits).sum(1) / hits.sum(1)).mean().item()


class Validation:
    """Held-out renders named by text, and doodles of validation classes that retrieve renders."""

    def __init__(self, root: Path, codes: dict[str, str], corpus: Path, others: int = 40) -> None:
        """Render the doodles of ``root``'s seen classes and load the held-out vendors' renders.

        Args:
            root: Folder with ``sketches.json``, ``splits.json`` and ``photo``.
            codes: Code point of every doodle class, to keep those emoji out of ``others``.
            corpus: Folder written by ``icon_corpus.py``.
            others: Number of further emoji, none of them a doodle class, to name by text.
        """
        classes = json.loads((root / "splits.json").read_text())["seen"]
        sketches = json.loads((root / "sketches.json").read_text())
        drawn = [draw(s["drawing"]) for c in classes for s in sketches[c]]
        self.doodles = prepare(drawn)
        self.doodle_class = torch.tensor([i for i, c in enumerate(classes) for _ in sketches[c]])
        renders = [Image.open(root / "photo" / c / f"{v}.jpg") for v in GALLERY for c in classes]
        self.gallery = prepare(renders)
        self.gallery_class = torch.arange(len(classes)).repeat(len(GALLERY))
        taken = set(codes.values())
        records = json.loads((corpus / "heldout.json").read_text("utf-8"))
        rows = [
            i for i, r in enumerate(records)
            if r["set"] == "noto" and "-" not in r["codepoint"] and r["codepoint"] not in taken
            and len(r["captions"][0].split()) == 1
        ]  # fmt: skip
        rows = sorted(np.random.default_rng(0).choice(rows, others, replace=False))
        pixels = np.load(corpus / "heldout.npy", mmap_mode="r")[rows]
        white = [Image.fromarray(p[..., :3] + (255 - p[..., 3:4])) for p in pixels]
        self.named = torch.cat([self.gallery[: len(classes)], prepare(white)])
        names = [c.replace("_", " ") for c in classes] + [records[i]["captions"][0] for i in rows]
        tokenizer = open_clip.get_tokenizer(MINI_NAME)
        self.bare, self.template = tokenizer(names), tokenizer([f"a photo of a {n}" for n in names])

    @torch.no_grad()
    def __call__(self, model: open_clip.CLIP) -> dict[str, float]:
        """Measure: text accuracies over Noto renders, doodle mAP@all and P@1, doodle naming."""
        model.eval()
        doodles = model.encode_image(self.doodles, normalize=True)
        gallery = model.encode_image(self.gallery, normalize=True)
        named = model.encode_image(self.named, normalize=True)
        label = torch.arange(len(named))
        out = {}
        for name, tokens in (("bare", self.bare), ("template", self.template)):
            text = F.normalize(model.encode_text(tokens), dim=-1)
            out[f"text_{name}"] = ((named @ text.T).argmax(1) == label).float().mean().item()
        relevant = self.doodle_class[:, None] == self.gallery_class
        out["doodle_map"] = mean_average_precision(doodles @ gallery.T, relevant)
        best = (doodles @ text[: int(self.gallery_class.max()) + 1].T).argmax(1)
        out["doodle_named"] = (best == self.doodle_class).float().mean().item()
        return {k: round(v, 4) for k, v in out.items()}

    def chance(self, samples: int = 200) -> dict[str, float]:
        """Measure random answers in the same way."""
        rand = torch.Generator().manual_seed(0)
        relevant = self.doodle_class[:, None] == self.gallery_class
        maps = [
            mean_average_precision(torch.rand(relevant.shape, generator=rand), relevant)
            for _ in range(samples)
        ]
        classes = int(self.gallery_class.max()) + 1
        text = 1 / len(self.named)
        found = {"text_bare": text, "text_template": text, "doodle_map": sum(maps) / samples}
        return {k: round(v, 4) for k, v in (found | {"doodle_named": 1 / classes}).items()}


@torch.no_grad()
def zero_shot(model: open_clip.CLIP, root: Path, classes: list[str]) -> dict[str, float]:
    """Measure on class folders ``sketch`` and ``photo``: the package's own unseen classes.

    For the model card only, once training is over: nothing is chosen by it.
    """
    drawn = [sorted((root / "sketch" / c).glob("*.png")) for c in classes]
    queries = prepare([Image.open(p) for paths in drawn for p in paths])
    query_class = torch.tensor([i for i, paths in enumerate(drawn) for _ in paths])
    photos = [root / "photo" / c / f"{v}.webp" for v in GALLERY for c in classes]
    gallery = model.encode_image(prepare([Image.open(p) for p in photos]), normalize=True)
    label = torch.arange(len(classes)).repeat(len(GALLERY))
    names = [f"a photo of a {c.replace('_', ' ')}" for c in classes]
    text = F.normalize(model.encode_text(open_clip.get_tokenizer(MINI_NAME)(names)), dim=-1)
    named = ((gallery @ text.T).argmax(1) == label).float().view(len(GALLERY), -1).mean(1)
    scores = model.encode_image(queries, normalize=True) @ gallery.T
    found = mean_average_precision(scores, query_class[:, None] == label)
    out = {f"text_{v}": n for v, n in zip(GALLERY, named.tolist(), strict=True)}
    return {k: round(v, 4) for k, v in (out | {"doodle_map": found}).items()}


def plot_curves(curves: dict[str, Path], metrics: dict, out: Path) -> None:
    """Plot text accuracy and doodle mAP over samples, one line for each run, chance dotted."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
    titles = {
        "text_template": 'naming held-out renders, "a photo of a ..."',
        "doodle_map": "doodle to render, mAP@all, validation classes",
    }
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for name, path in curves.items():
            rows = list(csv.DictReader(path.open()))
            x = [int(r["samples"]) / 1000 for r in rows]
            axis.plot(x, [float(r[key]) for r in rows], "o-", markersize=3, label=name)
        axis.axhline(metrics["chance"][key], color="grey", linestyle=":", label="chance")
        axis.set(title=title, xlabel="training images (thousands)", ylim=(0, None))
        axis.legend(frameon=False)
    figure.savefig(out / "curve.png", dpi=120)


def main() -> None:
    """Measure the named weights; with curves, write the results folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="written by icon_corpus.py")
    parser.add_argument("--val", type=Path, required=True, help="doodle classes to validate on")
    parser.add_argument("--codes", type=Path, default=CODES)
    parser.add_argument("--weights", nargs="+", default=[], help="name=file, any number")
    parser.add_argument("--curve", nargs="+", default=[], help="name=curve.csv, any number")
    parser.add_argument("--test", action="store_true", help="also the unseen classes of Doodles")
    parser.add_argument("--out", type=Path, help="folder for metrics.json, curves and the plot")
    args = parser.parse_args()
    validation = Validation(args.val, read_codes(args.codes), args.corpus)
    torch.manual_seed(0)
    models = {"random weights": create_mini(None)}
    models |= {k: create_mini(Path(v)) for k, v in (item.split("=", 1) for item in args.weights)}
    metrics = {"chance": validation.chance()} | {k: validation(m) for k, m in models.items()}
    if args.test:
        benchmark = Doodles()
        lines = (SPLITS / "doodles_unseen.txt").read_text("utf-8").splitlines()
        classes = [c for c in lines if c and not c.startswith("#")]
        for name, model in models.items():
            metrics[name]["unseen"] = zero_shot(model, benchmark.catalogue.files.root, classes)
    print(json.dumps(metrics, indent=1))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        curves = {k: Path(v) for k, v in (item.split("=", 1) for item in args.curve)}
        for name, path in curves.items():
            target = args.out / ("curve.csv" if name == "main" else f"curve_{name}.csv")
            target.write_text(path.read_text())
        if curves:
            plot_curves(curves, metrics, args.out)


if __name__ == "__main__":
    main()
