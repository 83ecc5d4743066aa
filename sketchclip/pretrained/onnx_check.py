"""Whether ONNX files embed and rank as PyTorch does, on the benchmark inside the package."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from data_modules import Doodles
from sketchclip.errors import SketchClipError
from sketchclip.metrics import retrieval_scores
from sketchclip.metrics.vectors import Similarity
from sketchclip.pretrained.model import SearchModel

TOLERANCE = 1e-4
"""Of a number in a unit vector, fp32 against fp32."""
_TOLERANCE_HALF = 2 * torch.finfo(torch.float16).eps
"""The same where a method keeps its states in half precision."""
_BATCH = 32
_SHOWN = 10
_REPEATS = 20

Embed = Callable[[np.ndarray], np.ndarray]


def verify(model: SearchModel, folder: Path, forms: Sequence[str], queries: int) -> dict[str, Any]:
    """Embed the unseen doodle classes with PyTorch and with each form of the ONNX files.

    ``forms`` are "" for fp32 and ".int8"; ``queries`` bounds the sketches of a class.

    Returns:
        Content of verification.json.
    """
    data = Doodles()
    sketches = {
        c: paths[:queries]
        for c, paths in data.catalogue.queries(data.catalogue.test_classes).items()
    }
    photos = data.catalogue.gallery(data.catalogue.test_classes)
    labels = [np.repeat(np.arange(len(s)), [*map(len, s.values())]) for s in (sketches, photos)]
    images = [
        np.stack([model.read(path) for paths in side.values() for path in paths])
        for side in (sketches, photos)
    ]
    own = [_torch(model, side) for side in ("query", "gallery")]
    expected = [_embed_all(embed, batch) for embed, batch in zip(own, images, strict=True)]
    reference, order = _figures(expected, labels, model.similarity)
    told: dict[str, Any] = {
        "benchmark": f"Doodles, {len(sketches)} unseen classes",
        "sketches": len(images[0]),
        "photos": len(images[1]),
        "machine": f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {n: version(n) for n in ("torch", "onnx", "onnxruntime", "onnxscript")},
        "pytorch": reference | {"ms_per_sketch": _latency(own[0], images[0])},
    }
    if model.module.scores_pairs:
        told["score"] = model.module.score_name
        if model.module.state_dtype == torch.float16:
            told["tolerance"] = _TOLERANCE_HALF
    for form in forms:
        files = [folder / f"{side}{form}.onnx" for side in ("sketch", "photo")]
        embeds = [_onnx(file) for file in files]
        found = [_embed_all(embed, batch) for embed, batch in zip(embeds, images, strict=True)]
        figures, ranked = _figures(found, labels, model.similarity)
        told[f"onnx{form}"] = figures | {
            "max_difference": max(
                _difference(a, b, model.similarity) for a, b in zip(found, expected, strict=True)
            ),
            "same_first_10": float((ranked == order).all(axis=1).mean()),
            "ms_per_sketch": _latency(embeds[0], images[0]),
            "bytes": {file.name: _size(file) for file in files},
        }
    _print(told)
    return told


def check(told: dict[str, Any], name: str) -> None:
    """Refuse fp32 files whose vectors differ from PyTorch's by more than the tolerance."""
    found, allowed = told["onnx"]["max_difference"], told.get("tolerance", TOLERANCE)
    if not found <= allowed:
        raise SketchClipError(
            f"{name}: its ONNX files embed in another way than PyTorch (numbers of their vectors "
            f"differ by up to {found:.1e}; expected at most {allowed:.0e}). They are not to be "
            "used; export without --onnx, and with other versions of torch and onnxscript."
        )


def _torch(model: SearchModel, side: str) -> Embed:
    return lambda images: model.embed_fitted(images, side)


def _onnx(path: Path) -> Embed:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def _embed_all(embed: Embed, images: np.ndarray) -> np.ndarray:
    # The first one alone: a graph for one size of batch would not pass.
    starts = [0, *range(1, len(images), _BATCH)]
    return np.concatenate([embed(images[a:b]) for a, b in pairwise([*starts, len(images)])])


def _difference(found: np.ndarray, expected: np.ndarray, similarity: Similarity) -> float:
    """Largest difference of a number in units of the largest one; for codes, the share of bits."""
    apart = np.abs(found - expected)
    if similarity == "hamming":
        return float(apart.mean() / 2)
    return float(apart.max() / (1.0 if similarity == "cosine" else np.abs(expected).max()))


def _figures(
    states: Sequence[np.ndarray], labels: Sequence[np.ndarray], similarity: Similarity
) -> tuple[dict[str, float], np.ndarray]:
    queries, photos = (torch.from_numpy(array) for array in states)
    asked, given = (torch.from_numpy(array) for array in labels)
    cuts: dict[str, Any] = {"precision_k": [1, 5], "map_k": [], "nearest": _SHOWN}
    cuts["similarity"] = similarity
    values = retrieval_scores(queries, asked, photos, given, **cuts)
    figures = {name: float(values[name].mean()) for name in ("mAP@all", "P@1", "P@5")}
    return figures, values["nearest"].numpy()


def _latency(embed: Embed, images: np.ndarray) -> float:
    """Median milliseconds for a single image."""
    times = []
    for at in range(_REPEATS):
        start = time.perf_counter()
        embed(images[at % len(images)][None])
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)), 2)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _print(told: dict[str, Any]) -> None:
    table = Table("", "mAP@all", "P@1", "max. difference", "same first 10", "ms/sketch", "MB")
    for form in (name for name in told if name.startswith(("pytorch", "onnx"))):
        row = told[form]
        exact = "max_difference" in row
        table.add_row(
            form,
            f"{row['mAP@all']:.4f}",
            f"{row['P@1']:.4f}",
            f"{row['max_difference']:.1e}" if exact else "",
            f"{row['same_first_10']:.1%}" if exact else "",
            f"{row['ms_per_sketch']:.1f}",
            f"{sum(row['bytes'].values()) / 1e6:.1f}" if exact else "",
        )
    console = Console(width=100)
    console.print(
        f"{told['benchmark']}: {told['sketches']:,} sketches, {told['photos']:,} photos; "
        f"{told['machine']}, {told['threads']} threads"
    )
    console.print(table)
    if "score" in told:
        console.print(
            f"All by vectors: the method's own score {told['score']} is not in the files."
        )
