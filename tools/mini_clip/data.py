"""Batches for the mini CLIP's pre-training: names, captions and augmented views of icons.

Everything works on whole batches of tensors: one warp, one colour matrix per image, no Python
per image. A view is either the coloured icon on some background or the line drawing that
``icon_corpus.py`` derived from it by edge detection, roughened; no view is a human sketch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

SIZE = 56
TEMPLATES = (
    "{}", "{}", "a photo of a {}", "a photo of a {}", "a {}", "an icon of a {}",
    "a picture of a {}", "a drawing of a {}", "{} icon", "{} emoji", "a photo of the {}",
)  # fmt: skip
# gendered and family emoji are many and near-identical; seen less, they leave room for things
_PEOPLE = re.compile(r"^(man|woman|men|women|person|people|deaf|family|couple|kiss)\b")


def read_codes(path: Path) -> dict[str, str]:
    """Code point of every doodle class, from ``doodle_classes.json``: drawn twice, as an emoji."""
    data = json.loads(path.read_text("utf-8"))
    codes = data.get("emoji", data)
    return {k.replace("_", " "): v.upper().replace("-FE0F", "") for k, v in codes.items()}


def read_banned(path: Path, codes: dict[str, str]) -> set[str]:
    """Names and code points of the classes that a split file lists, one a line."""
    lines = [x.strip().replace("_", " ") for x in path.read_text("utf-8").splitlines()]
    names = {x for x in lines if x and not x.startswith("#")}
    return names | {codes[n] for n in names if n in codes}


class IconCorpus:
    """The rendered corpus, grouped by name: images of one name are each other's positives."""

    def __init__(self, folder: Path, seed: int, banned: set[str] | None = None) -> None:
        """Load ``folder``/train.*; ``banned`` holds names and code points to leave out."""
        self.pixels = np.load(folder / "train.npy", mmap_mode="r")
        records = json.loads((folder / "train.json").read_text("utf-8"))
        banned = banned or set()
        groups: dict[str, list[int]] = {}
        captions: dict[str, set[str]] = {}
        tags: dict[str, set[str]] = {}
        for i, record in enumerate(records):
            if banned and _is_banned(record, banned):
                continue
            name = record["captions"][0]
            groups.setdefault(name, []).append(i)
            captions.setdefault(name, set()).update(record["captions"])
            tags.setdefault(name, set()).update(record["tags"])
        self.names = sorted(groups)
        self.members = [np.array(groups[n]) for n in self.names]
        self.captions = [sorted(captions[n]) for n in self.names]
        self.tags = [sorted(tags[n] - captions[n] - banned) for n in self.names]
        self.mono = np.array([r["mono"] for r in records])
        weight = np.array([min(len(m), 12) ** 0.75 for m in self.members])
        weight *= [0.3 if _PEOPLE.match(n) else 1.0 for n in self.names]
        self.weight = torch.from_numpy(weight)
        self.rng = np.random.default_rng(seed)
        self.word_targets = self._word_targets()

    def _word_targets(self) -> Tensor:
        """Rows of uniform probability over the frequent words of each name's captions, tags."""
        texts = [" ".join(c + t).split() for c, t in zip(self.captions, self.tags, strict=True)]
        count = Counter(w for t in texts for w in set(t) if len(w) > 2)
        vocab = {w: i for i, w in enumerate(sorted(w for w, n in count.items() if n >= 4))}
        target = torch.zeros(len(texts), len(vocab), dtype=torch.float16)
        for row, text in zip(target, texts, strict=True):
            row[[vocab[w] for w in set(text) if w in vocab]] = 1
        return target

    def caption(self, group: int) -> str:
        """Sample a caption of a name: itself mostly, sometimes a tag, in some template."""
        pool = self.captions[group]
        if self.tags[group] and self.rng.random() < 0.15:
            pool = self.tags[group]
        elif self.rng.random() < 0.6:
            pool = [self.names[group]]
        template = TEMPLATES[self.rng.integers(len(TEMPLATES))]
        text = template.format(pool[self.rng.integers(len(pool))])
        return re.sub(r"\ba (?=[aeiou])", "an ", text) if self.rng.random() < 0.5 else text

    def batch(self, names: int) -> tuple[np.ndarray, Tensor, Tensor]:
        """Sample distinct names; returns (name ids, raw images of two views each, mono flags)."""
        keys = torch.from_numpy(self.rng.random(len(self.weight))).log() / self.weight
        ids = keys.topk(names).indices.numpy()  # weighted sampling without replacement
        first, second = [], []
        for group in ids:
            members = self.members[group]
            pair = self.rng.choice(members, 2, replace=len(members) == 1)
            first.append(pair[0])
            second.append(pair[1])
        rows = np.array(first + second)
        order = np.argsort(rows)  # sorted reads of the memory map
        raw = np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        raw[order] = self.pixels[rows[order]]
        return ids, torch.from_numpy(raw), torch.from_numpy(self.mono[rows])


def _is_banned(record: dict, banned: set[str]) -> bool:
    """Whether a record shows or names a held-out concept."""
    if record.get("codepoint") in banned:
        return True
    padded = [f" {c} " for c in record["captions"]]
    forms = [f" {name}{plural} " for name in banned for plural in ("", "s", "es")]
    return any(form in caption for form in forms for caption in padded)


def _smooth(coarse: Tensor) -> Tensor:
    """Upsample small maps (..., k, k) to 56 x 56 by a matrix product, ten times faster on a CPU."""
    k = coarse.shape[-1]
    eye = torch.eye(k)[None, None]
    basis = F.interpolate(eye, (SIZE, k), mode="bicubic", align_corners=True)[0, 0]
    return basis @ coarse @ basis.T


def _max3(x: Tensor) -> Tensor:
    """Maximum over 3 x 3 neighbours, by shifts: the library's pooling is slow on one channel."""
    x = F.pad(x, (1, 1, 1, 1))
    x = torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])
    return torch.maximum(torch.maximum(x[..., :-2, :], x[..., 1:-1, :]), x[..., 2:, :])


def _warp_grid(n: int, rand: torch.Generator) -> Tensor:
    """Sampling grids of random affine maps with a smooth random displacement on top."""
    u = torch.rand(n, 8, generator=rand) * 2 - 1
    angle = u[:, 0] * 0.26 + torch.where(u[:, 6] > 0.9, u[:, 7] * 0.6, 0.0)
    zoom = torch.exp(u[:, 1] * 0.25 + 0.05)
    aspect = torch.exp(u[:, 2] * 0.15)
    flip = torch.where(torch.rand(n, generator=rand) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    theta = torch.stack(
        [cos * aspect * flip, -sin + u[:, 3] * 0.2, u[:, 4] * 0.12, sin * flip, cos / aspect,
         u[:, 5] * 0.12], 1,
    ).view(n, 2, 3)  # fmt: skip
    grid = F.affine_grid(theta, [n, 1, SIZE, SIZE], align_corners=False)
    bumps = torch.randn(n, 2, 5, 5, generator=rand) * torch.rand(n, 1, 1, 1, generator=rand) * 0.06
    return grid + _smooth(bumps).permute(0, 2, 3, 1)


def _colour_maps(mono: Tensor, rand: torch.Generator) -> tuple[Tensor, Tensor]:
    """One affine colour map per image on (r, g, b, alpha): composite, jitter, grey, permute."""
    n = len(mono)

    def coin(p: float) -> Tensor:
        return torch.rand(n, 1, generator=rand) < p

    back = torch.where(coin(0.65), 1.0, torch.rand(n, 3, generator=rand))
    tint = torch.where(coin(0.5), 0.0, torch.rand(n, 3, generator=rand) * 0.7) * mono[:, None]
    eye = torch.eye(3).expand(n, 3, 3)
    grey = torch.tensor([0.3, 0.59, 0.11]).expand(n, 3, 3)
    level = torch.where(coin(0.2), 1.0, torch.rand(n, 1, generator=rand) * 0.4)[..., None]
    jitter = eye + (grey - eye) * level
    order = torch.rand(n, 3, generator=rand).argsort(1)[..., None].expand(n, 3, 3)
    jitter = torch.where(coin(0.2)[..., None], jitter.gather(1, order), jitter)
    gain = torch.exp((torch.rand(n, 1, generator=rand) - 0.5) * 0.5)[..., None]
    jitter = jitter * torch.where(coin(0.06)[..., None], -gain, gain)  # negative: inverted
    pivot = jitter.sum(2, keepdim=True)
    shift = (pivot > 0).float() - pivot  # white stays white, or becomes black when inverted
    alpha = jitter @ (tint - back)[..., None]
    const = jitter @ back[..., None] + shift
    mean, std = torch.tensor(OPENAI_DATASET_MEAN), torch.tensor(OPENAI_DATASET_STD)
    matrix = torch.cat([jitter, alpha], 2) / std[:, None]
    return matrix, (const - mean[:, None]) / std[:, None]


def augment(raw: Tensor, mono: Tensor, rand: torch.Generator, sketch: float) -> Tensor:
    """Turn raw renders (B, H, W, 5) into normalised views (B, 3, 56, 56).

    Args:
        raw: Premultiplied RGBA and the line drawing, uint8.
        mono: Which images are single-colour icons, to be tinted.
        rand: The source of all randomness.
        sketch: Share of views that show the line drawing.
    """
    n = len(raw)
    pixels = raw.permute(0, 3, 1, 2).contiguous().float().div_(255)
    pixels = F.grid_sample(pixels, _warp_grid(n, rand), align_corners=False)
    matrix, const = _colour_maps(mono, rand)
    views = torch.baddbmm(const, matrix, pixels[:, :4].flatten(2)).view(n, 3, SIZE, SIZE)
    chosen = (torch.rand(n, generator=rand) < sketch).nonzero().flatten()
    if len(chosen):
        views[chosen] = _draw(pixels[chosen, 4:], rand)
    return views.contiguous(memory_format=torch.channels_last)


def _draw(edges: Tensor, rand: torch.Generator) -> Tensor:
    """Roughen line drawings: drop weak edges, vary weight and ink, leave gaps."""
    k = len(edges)
    u = torch.rand(6, k, 1, 1, 1, generator=rand)
    ink = ((edges - u[0] * 0.5) * (1.5 + 3 * u[1])).clamp(0, 1)
    thick = _max3(ink)
    ink = torch.where(u[2] < 0.5, ink, ink + (thick - ink) * u[3])
    gaps = _smooth(torch.rand(k, 1, 9, 9, generator=rand))
    ink = ink * torch.where(u[4] < 0.5, ((gaps - 0.22) * 8).clamp(0, 1), 1.0)
    grey = 1 - ink * (1 - 0.35 * u[5])
    mean, std = torch.tensor(OPENAI_DATASET_MEAN), torch.tensor(OPENAI_DATASET_STD)
    return (grey - mean[:, None, None]) / std[:, None, None]
