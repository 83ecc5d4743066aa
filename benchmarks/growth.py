"""Seconds of each part of an evaluation at two sizes, and what its slope says of large ones.

    python benchmarks/growth.py                                  # for a million x ten million
    python benchmarks/growth.py --queries 100000 --photos 1000000

Each part is timed at two sizes, the second four times the first; the slope between the two is what
the figure for the large size is made of. Nothing is measured at that size. Embedding is left out:
its rate depends on the device alone, see training_step.py.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from data_modules.listing.scan import list_folder
from sketchclip.metrics.banks import own_photos
from sketchclip.metrics.functional import retrieval_scores
from sketchclip.metrics.ranking import Groups
from sketchclip.runs.results import intervals, read_results, write_results

_METRICS = 12  # of a test of instances, ranks left out
_CLASSES, _DIM, _QUERIES = 100, 512, 500

Part = tuple[str, str, tuple[int, int], Callable[[int], Callable[[], object]]]
"""Name, what it grows with, two sizes, and what makes the thing to time."""


def listing(folder: Path) -> Callable[[int], Callable[[], object]]:
    """Listing of the files of a side."""

    def make(count: int) -> Callable[[], object]:
        place = folder / f"{count}"
        for number in range(_CLASSES):
            (place / f"class_{number}").mkdir(parents=True)
        for number in range(count):
            (place / f"class_{number % _CLASSES}" / f"{number}.png").touch()
        return lambda: list_folder(place, frozenset({".png"}))

    return make


def grouping(count: int) -> Callable[[], object]:
    """Order of a gallery by class."""
    labels = np.random.default_rng(0).integers(0, _CLASSES, count)
    return lambda: Groups.of(labels[:1000], labels)


def pairing(count: int) -> Callable[[], object]:
    """Own photo of each sketch."""
    numbers = torch.randperm(count)
    return lambda: own_photos(numbers[: count // 10], numbers)


def ranking(count: int) -> Callable[[], object]:
    """Ranks of a gallery, for the same sketches at any size."""
    states = torch.nn.functional.normalize(torch.randn(count + _QUERIES, _DIM), dim=1)
    labels = torch.randint(_CLASSES, (count + _QUERIES,))
    sides = (x[part] for part in (slice(_QUERIES), slice(_QUERIES, None)) for x in (states, labels))
    return lambda given=tuple(sides): retrieval_scores(*given)


def uncertainty(count: int) -> Callable[[], object]:
    """Intervals of all metrics."""
    values = {f"{i}": np.random.default_rng(i).random(count) for i in range(_METRICS)}
    return lambda: intervals(values)


def files(folder: Path) -> Callable[[int], Callable[[], object]]:
    """Writing and reading of metrics.json and queries.csv."""

    def make(count: int) -> Callable[[], object]:
        values = {f"m{i}": np.random.default_rng(i).random(count) for i in range(_METRICS)}
        labels = np.arange(count) % _CLASSES
        names = {number: f"class_{number}" for number in range(_CLASSES)}
        paths = [f"sketch/class/{number}.png" for number in range(count)]

        def work() -> object:
            write_results(folder / "run", {"metrics": {}}, values, labels, paths, names)
            return read_results(folder / "run")

        return work

    return make


def parts(folder: Path) -> Iterator[Part]:
    """Parts of an evaluation after the embedding."""
    yield "list the files", "photos", (20_000, 80_000), listing(folder)
    yield "order the gallery by class", "photos", (500_000, 2_000_000), grouping
    yield "find the own photos", "photos", (200_000, 800_000), pairing
    yield "rank", "pairs", (5_000, 20_000), ranking
    yield "intervals of 12 metrics", "queries", (5_000, 20_000), uncertainty
    yield "write and read the results", "queries", (10_000, 40_000), files(folder)


def main() -> None:
    """Print a row for each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=10_000_000)
    options = parser.parse_args()
    wanted = {
        "photos": options.photos,
        "queries": options.queries,
        "pairs": options.photos * options.queries / _QUERIES,
    }
    print(f"{torch.get_num_threads()} threads; {options.queries:,} x {options.photos:,}\n")
    print("| part | sizes | seconds | ns each | at that size |\n|---|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        for name, unit, sizes, make in parts(Path(place)):
            seconds = []
            for size in sizes:
                work = make(size)
                start = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - start)
            slope = (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])
            far = seconds[1] + slope * (wanted[unit] - sizes[1])
            each = slope / (_QUERIES if unit == "pairs" else 1)
            spent = f"{seconds[0]:.2f}, {seconds[1]:.2f}"
            shown = f"{_QUERIES} x " if unit == "pairs" else ""
            shown += f"{sizes[0]:,}, {sizes[1]:,} {'photos' if unit == 'pairs' else unit}"
            print(f"| {name} | {shown} | {spent} | {each * 1e9:.3g} | {_duration(far)} |")


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


if __name__ == "__main__":
    main()
