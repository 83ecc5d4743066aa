"""``sketchclip evaluate``: metrics of any embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError

_EVALUATE = "Scores embeddings of any program by the protocol of 'sketchclip test'."
_FILES = """files:
  .npy   one array; labels go with --sketch_labels and --photo_labels
  .npz   with 'state' and 'label', as 'sketchclip predict' writes them

examples:
  sketchclip evaluate --sketches q.npy --photos g.npy --sketch_labels ql.npy --photo_labels gl.npy
  sketchclip evaluate --sketches embeddings/sketch.npz --photos embeddings/photo.npz --out scored
"""


def run(args: Sequence[str]) -> dict[str, float]:
    """Run the command; return the metrics by name."""
    parser = Parser(prog="sketchclip evaluate", description=_EVALUATE, epilog=_FILES)
    for side in ("sketches", "photos"):
        parser.add_argument(f"--{side}", type=Path, required=True, help="(N, D) .npy, or .npz")
    for side in ("sketch", "photo"):
        parser.add_argument(f"--{side}_labels", type=Path, help="(N,) class ids, .npy")
    parser.add_argument(
        "--targets", type=Path, help="row of --photos that each sketch shows, -1 for none, .npy"
    )
    parser.add_argument(
        "--similarity", choices=("cosine", "euclidean", "hamming"), default="cosine"
    )
    parser.add_argument("--map_k", type=int, nargs="*", default=[200], help="default: 200")
    parser.add_argument("--precision_k", type=int, nargs="*", default=[100, 200])
    parser.add_argument("--accuracy_k", type=int, nargs="*", default=[1, 5, 10])
    parser.add_argument("--out", type=Path, help="folder for metrics.json and queries.csv")
    options = parser.parse_args(list(args))

    import torch

    from sketchclip.callbacks.report import DEFINITION
    from sketchclip.metrics import InstanceRetrieval
    from sketchclip.runs.environment import METRIC_PACKAGES, versions
    from sketchclip.runs.results import by_class, intervals, write_results
    from sketchclip.tables.console import print_metrics

    metric = InstanceRetrieval(
        options.precision_k, options.map_k, options.accuracy_k, options.similarity
    )
    photos = _read(options.photos, options.photo_labels)
    sketches = _read(options.sketches, options.sketch_labels)
    paired = np.full(len(sketches[0]), -1)
    if options.targets is not None:
        paired = _array(options.targets)
        if paired.shape != (len(sketches[0]),):
            raise SketchClipError(
                f"{options.targets}: expected one row number for each of {len(sketches[0])} "
                f"sketches, found shape {paired.shape}."
            )
    for side, (states, labels), instances in (
        ("gallery", photos, np.arange(len(photos[0]))),
        ("query", sketches, paired),
    ):
        parts = (states, labels, np.arange(len(labels)), instances)
        state, label, index, instance = map(torch.from_numpy, parts)
        metric.update(state, label, index, side, instance)
    found = metric.results()
    metrics = dict(found.metrics)
    title = f"{options.sketches}: {len(sketches[0]):,} sketches, {len(photos[0]):,} photos, "
    title += f"{len(np.unique(sketches[1]))} classes, {options.similarity}"
    protocol = "the gallery is every photo given"
    print_metrics(title, metrics, protocol)
    if options.out is not None:
        names = {int(label): str(label) for label in np.unique(sketches[1])}
        summary = {
            "metrics": metrics,
            "interval_95": intervals(found.values),
            "definition": DEFINITION,
            "protocol": protocol,
            "similarity": options.similarity,
            "queries": len(sketches[0]),
            "gallery": len(photos[0]),
            "classes": by_class(found.values, found.labels, names),
            **versions(METRIC_PACKAGES),
        }
        rows = [str(index) for index in found.index]
        write_results(options.out, summary, found.values, found.labels, rows, names)
        print(f"Written: {options.out}")
    return metrics


def _read(path: Path, labels: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Read and check embeddings and labels of one side."""
    if path.suffix == ".npz":
        with _load(path) as archive:
            missing = {"state", "label"} - {*archive.files}
            if missing:
                raise SketchClipError(
                    f"{path}: expected arrays 'state' and 'label', found {archive.files}."
                )
            states, ids = archive["state"], archive["label"]
        ids = ids if labels is None else _array(labels)
    elif labels is None:
        raise SketchClipError(
            f"{path} holds embeddings alone. Name their class ids with --sketch_labels and "
            "--photo_labels."
        )
    else:
        states, ids = _array(path), _array(labels)
    if states.ndim != 2 or not np.issubdtype(states.dtype, np.number):
        raise SketchClipError(f"{path}: expected numbers (N, D), found {_shape(states)}.")
    if ids.shape != states.shape[:1] or not np.issubdtype(ids.dtype, np.integer):
        raise SketchClipError(
            f"{labels or path}: expected {len(states)} integer class ids, found {_shape(ids)}."
        )
    if len(ids) and ids.min() < 0:
        raise SketchClipError(f"{labels or path}: class ids start at 0, found {ids.min()}.")
    return states, ids.astype(np.int64)


def _array(path: Path) -> np.ndarray:
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise SketchClipError(f"{path}: expected one array (.npy), found an archive.")
    return loaded


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SketchClipError(
            f"Cannot read {path} ({error}). Expected an array of numbers saved by numpy.save."
        ) from error


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
