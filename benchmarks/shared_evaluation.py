"""Seconds of one evaluation by one process and by several, a thread each.

    python benchmarks/shared_evaluation.py
    python benchmarks/shared_evaluation.py --queries 12694 --photos 10453 --processes 1,2

Random embeddings of 21 classes, of which each process holds its part, as after a distributed pass.
Timed are the gathering of the banks and the ranking; embedding is not. The metrics of all rows are
checked to be equal, bit for bit.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from sketchclip.metrics import CategoryRetrieval

_CLASSES = 21


def bank(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors near the directions of their classes, 512-d, and the classes."""
    centres = torch.randn(_CLASSES, 512, generator=torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(seed)
    labels = torch.randint(_CLASSES, (count,), generator=noise)
    states = centres[labels] + 3 * torch.randn(count, 512, generator=noise)
    return states, labels


def work(rank: int, world: int, folder: str, options: argparse.Namespace) -> None:
    """A process: its part of both sides, and as many evaluations as rounds."""
    torch.set_num_threads(1)
    if world > 1:
        meet = f"file://{folder}/meet_{world}"
        dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world)
    metric = CategoryRetrieval()
    for side, count, seed in (("query", options.queries, 1), ("gallery", options.photos, 2)):
        states, labels = bank(count, seed)
        rows = torch.arange(rank, count, world)
        metric.update(states[rows], labels[rows], rows, side)
    seconds, found = [], {}
    for _ in range(options.rounds):
        if world > 1:
            dist.barrier()
        start = time.perf_counter()
        found = metric.results().metrics
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        torch.save({"seconds": seconds, "metrics": dict(found)}, f"{folder}/{world}.pt")
    if world > 1:
        dist.destroy_process_group()


def main() -> None:
    """Print a row for each number of processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=12_694)
    parser.add_argument("--photos", type=int, default=10_453)
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.queries:,} x {options.photos:,}, a thread each, median of {options.rounds}\n")
    print("| processes | seconds | x one |\n|---:|---:|---:|")
    first: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for world in map(int, options.processes.split(",")):
            mp.spawn(work, (world, folder, options), nprocs=world)
            row = torch.load(Path(folder) / f"{world}.pt", weights_only=True)
            row["median"] = statistics.median(row["seconds"])
            first = first or row
            if row["metrics"] != first["metrics"]:
                raise SystemExit(f"{world} processes: other metrics than {first['metrics']}")
            print(f"| {world} | {row['median']:.2f} | {row['median'] / first['median']:.2f} |")


if __name__ == "__main__":
    main()
