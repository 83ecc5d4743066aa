"""Time and memory of full-gallery evaluation: ours, its peers and the bare matrix product.

    pip install pytorch-metric-learning scikit-learn
    python benchmarks/evaluation.py                       # small, all rows; then Sketchy's size
    python benchmarks/evaluation.py --size quickdraw      # 92,291 x 54,151, ours and the floor
    python benchmarks/evaluation.py --size growth         # how ours grows with Q and G

Every row gets the same embeddings and labels and runs in a process of its own, so that the peak
memory is that row's. Rows alternate; each figure is the median of --repeats. Peers that cannot run
at a size are left out there. Ours computes mAP@all, mAP@200 in three definitions, P@100, P@200 and
Acc@1/5/10 in two galleries; the peers compute mAP@all alone.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZES = {
    "small": (500, 4000, 21),
    "medium": (2_000, 10_453, 21),
    "sketchy": (12_694, 10_453, 21),
    "quickdraw": (92_291, 54_151, 30),
}
GROWTH = ((3_000, 10_000, 20), (12_000, 10_000, 20), (3_000, 40_000, 20), (12_000, 40_000, 20))
WIDTH = 512
BLOCK = 32 << 20  # bytes of scores at a time, for the floor as for ours
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs(queries: int, gallery: int, classes: int) -> Inputs:
    """Embeddings around class centres, so that mAP is neither 0 nor 1."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, WIDTH, generator=generator)
    sides = []
    for count in (queries, gallery):
        labels = torch.randint(classes, (count,), generator=generator)
        noise = torch.randn(count, WIDTH, generator=generator)
        sides += [F.normalize(0.25 * centres[labels] + noise, dim=1), labels]
    first = {int(label): i for i, label in reversed(list(enumerate(sides[3].tolist())))}
    targets = torch.tensor([first[int(label)] for label in sides[1]])
    return sides[0], sides[1], sides[2], sides[3], targets


def floor(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """The blockwise product and nothing else."""
    step = max(1, BLOCK // (4 * len(g)))
    out = torch.empty(step, len(g))
    for start in range(0, len(q), step):
        block = q[start : start + step]
        torch.mm(block, g.T, out=out[: len(block)])
    return float(out[0, 0])


def ours(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """Everything from one ranking."""
    from sketchclip.metrics import retrieval_scores

    result = retrieval_scores(q, ql, g, gl, (100, 200), (200,), (1, 5, 10), targets)
    return float(result["mAP@all"].mean())


def torchmetrics_class(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """RetrievalMAP on all pairs, scores shifted above zero (it ignores scores <= 0)."""
    from torchmetrics.retrieval import RetrievalMAP

    metric = RetrievalMAP()
    for i in range(0, len(q), 100):
        scores = (q[i : i + 100] @ g.T + 1) / 2
        hits = ql[i : i + 100, None] == gl[None]
        index = torch.arange(i, i + len(scores))[:, None].expand_as(scores)
        metric.update(scores.ravel(), hits.ravel(), index.ravel())
    return float(metric.compute())


def official_loop(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """A query at a time through torchmetrics' function, as the released evaluator does."""
    from torchmetrics.functional.retrieval import retrieval_average_precision

    values = []
    for feature, label in zip(q, ql, strict=True):
        distance = 1 - F.cosine_similarity(feature[None], g)
        values.append(retrieval_average_precision(2 - distance, gl == label))
    return float(torch.stack(values).mean())


def scikit_learn(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """average_precision_score, a query at a time."""
    from sklearn.metrics import average_precision_score

    values = []
    for i in range(len(q)):
        values.append(average_precision_score((gl == ql[i]).numpy(), (g @ q[i]).numpy()))
    return float(np.mean(values))


def metric_learning(q: Tensor, ql: Tensor, g: Tensor, gl: Tensor, targets: Tensor) -> float:
    """pytorch-metric-learning's calculator over the whole gallery."""
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("mean_average_precision",),
        k=len(g),
        knn_func=CustomKNN(CosineSimilarity(), batch_size=256),
        device=torch.device("cpu"),
    )
    result = calculator.get_accuracy(q, ql, g, gl, ref_includes_query=False)
    return float(result["mean_average_precision"])


ROWS: dict[str, Callable[..., float]] = {
    "floor": floor,
    "ours": ours,
    "torchmetrics RetrievalMAP": torchmetrics_class,
    "official loop": official_loop,
    "scikit-learn": scikit_learn,
    "pytorch-metric-learning": metric_learning,
}


def run_one(name: str, size: tuple[int, int, int], threads: int) -> dict[str, float]:
    """Time a row in this process."""
    torch.set_num_threads(threads)
    data = inputs(*size)
    warm = inputs(8, 50, 3)
    ROWS[name](*warm)  # imports and thread pools are not what is measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    value = ROWS[name](*data)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mib": (peak - before) / 1024, "value": value}


def measure(
    names: list[str], size: tuple[int, int, int], repeats: int, threads: int
) -> dict[str, dict[str, float]]:
    """Rows in turn, each in a process of its own; medians."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            command = [sys.executable, __file__, "--row", name, "--threads", str(threads)]
            command += ["--shape", *map(str, size)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"  {name}: {done.stderr.strip().splitlines()[-1]}")
                continue
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: {key: statistics.median(run[key] for run in rows) for key in rows[0]}
        for name, rows in runs.items()
        if rows
    }


def show(title: str, result: dict[str, dict[str, float]]) -> None:
    """Print a table; ratios are to the floor."""
    base = result["floor"]["seconds"]
    print(f"\n{title}\n| | seconds | x floor | x ours | peak MiB | mAP@all |")
    print("|---|---|---|---|---|---|")
    for name, row in result.items():
        mean = "" if name == "floor" else f"{row['value']:.6f}"
        print(
            f"| {name} | {row['seconds']:.2f} | {row['seconds'] / base:.2f} | "
            f"{row['seconds'] / result['ours']['seconds']:.2f} | {row['mib']:.0f} | {mean} |"
        )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=[*SIZES, "growth", "default"], default="default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(run_one(args.row, tuple(args.shape), args.threads)))
        return
    sizes = ["small", "sketchy"] if args.size == "default" else [args.size]
    tables = {
        name: (SIZES[name], list(ROWS) if name in ("small", "medium") else ["floor", "ours"])
        for name in sizes
        if name in SIZES
    }
    if args.size == "growth":
        tables = {f"growth {q} x {g}": ((q, g, c), ["floor", "ours"]) for q, g, c in GROWTH}
    figures = {}
    for name, (size, rows) in tables.items():
        figures[name] = measure(rows, size, args.repeats, args.threads)
        shape = f"{size[0]:,} queries x {size[1]:,} photos x {WIDTH}, {size[2]} classes"
        show(f"{name}: {shape}, {args.threads} threads", figures[name])
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
