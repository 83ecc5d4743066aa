"""``sketchclip evaluate``: metrics of any embeddings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_modules.ranges import Count
from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError
from sketchclip.runs.arrays import as_integers, as_states, read_archive, read_array
from sketchclip.system.light_imports import import_torchmetrics

_TARGETS = "row numbers of photos, -1 for none"
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
    for name, usual in (("map", "200"), ("precision", "100 200")):
        text = f"cut-offs (default: {usual}, as far as there are so many photos)"
        parser.add_argument(f"--{name}_k", type=Count, nargs="*", help=text)
    text = "cut-offs (default: 1 5 10)"
    parser.add_argument("--accuracy_k", type=Count, nargs="*", default=[1, 5, 10], help=text)
    parser.add_argument("--out", type=Path, help="folder for metrics.json and queries.csv")
    options = parser.parse_args(list(args))

    given = (options.sketches, options.sketch_labels, options.photos, options.photo_labels)
    for file in (*given, options.targets):
        if file is not None and not file.is_file():
            what = "is a folder" if file.is_dir() else "does not exist"
            raise SketchClipError(f"{file} {what}. Expected a file of numbers, .npy or .npz.")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise SketchClipError(f"--out {options.out} is a file. Name a folder.")

    import_torchmetrics()
    import torch

    from data_modules.batch import Protocol
    from sketchclip.metrics import InstanceRetrieval
    from sketchclip.metrics.definitions import DEFINITION
    from sketchclip.runs.environment import METRIC_PACKAGES, versions
    from sketchclip.runs.results import by_class, intervals, write_results
    from sketchclip.tables.console import print_metrics

    photos = _read(options.photos, options.photo_labels)
    sketches = _read(options.sketches, options.sketch_labels)
    count, gallery = len(sketches[0]), len(photos[0])
    fitting = Protocol().within(gallery)
    precision_k = fitting.precision_k if options.precision_k is None else options.precision_k
    map_k = fitting.map_k if options.map_k is None else options.map_k
    metric = InstanceRetrieval(precision_k, map_k, options.accuracy_k, options.similarity)
    paired = np.full(count, -1)
    if options.targets is not None:
        paired = as_integers(
            read_array(options.targets), options.targets, count, _TARGETS, -1, gallery
        )
    try:
        for side, (states, labels), instances in (
            ("gallery", photos, np.arange(gallery)),
            ("query", sketches, paired),
        ):
            parts = (states, labels, np.arange(len(labels)), instances)
            state, label, index, instance = map(torch.from_numpy, parts)
            metric.update(state, label, index, side, instance)
        found = metric.results()
    except SketchClipError as error:  # of files that do not fit together
        files = ", ".join(str(file) for file in (*given, options.targets) if file)
        raise SketchClipError(f"{files}: {error}") from error
    metrics = dict(found.metrics)
    title = f"{options.sketches}: {count:,} sketches, {gallery:,} photos, "
    title += f"{len(np.unique(sketches[1]))} classes, {options.similarity}"
    protocol = "the gallery is every photo given"
    print_metrics(title, metrics, protocol)
    beyond = sorted({k for k in (*precision_k, *map_k) if k > gallery})
    if beyond:
        cuts = ", ".join(map(str, beyond))
        print(f"Beyond the gallery of {gallery:,} photos: {cuts}; P@k counts k photos all the same")
    if options.out is not None:
        names = {int(label): str(label) for label in np.unique(sketches[1])}
        summary = {
            "metrics": metrics,
            "interval_95": intervals(found.values),
            "definition": DEFINITION,
            "protocol": protocol,
            "similarity": options.similarity,
            "queries": count,
            "gallery": gallery,
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
        found = read_archive(path, ["state"] if labels else ["state", "label"])
        states = found["state"]
        ids = read_array(labels) if labels else found["label"]
    elif labels is None:
        raise SketchClipError(
            f"{path} holds embeddings alone. Name their class ids with --sketch_labels and "
            "--photo_labels."
        )
    else:
        states, ids = read_array(path), read_array(labels)
    states = as_states(states, path)
    return states, as_integers(ids, labels or path, len(states), "integer class ids", 0)
