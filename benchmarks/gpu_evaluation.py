"""Full-gallery evaluation on a GPU: ours beside the bare matrix product, at several block sizes.

    python benchmarks/gpu_evaluation.py                                   # needs a GPU
    python benchmarks/gpu_evaluation.py --sizes small --device cpu        # the same code, checked

The product is made in the blocks that ours ranks, in fp32. "mAP@all" computes that metric alone,
"everything" mAP@200 in three definitions, P@100, P@200 and Acc@1/5/10 in two galleries as well.
Values of the first queries are compared with those of the CPU's way, which sorts.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from evaluation import SIZES, WIDTH, Inputs, inputs
from torch import Tensor

from sketchclip.metrics import retrieval_scores
from sketchclip.metrics.counting import BYTES

_CHECKED = 300  # queries that are compared with the CPU's way


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time after a first run."""
    times = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def product(queries: Tensor, gallery: Tensor, size: int) -> None:
    """The blockwise product and nothing else."""
    step = max(1, size // (BYTES * len(gallery)))
    out = torch.empty(min(step, len(queries)), len(gallery), device=queries.device)
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        torch.mm(block, gallery.T, out=out[: len(block)])


def measure(sides: Inputs, device: torch.device, room: int, repeats: int) -> tuple[float, ...]:
    """Seconds of the product, of mAP@all and of everything in blocks of ``room`` bytes.

    Returns:
        The three, and the largest difference of a value to the CPU's way.
    """
    q, ql, g, gl, targets = (tensor.to(device) for tensor in sides)
    place = {"counting": True, "size": room}

    def alone() -> dict[str, Tensor]:
        return retrieval_scores(q, ql, g, gl, (), (), (), **place)

    def everything() -> dict[str, Tensor]:
        return retrieval_scores(q, ql, g, gl, targets=targets, **place)

    times = [
        seconds(work, device, repeats) for work in (lambda: product(q, g, room), alone, everything)
    ]
    few = slice(_CHECKED)
    wanted = retrieval_scores(
        sides[0][few], sides[1][few], *sides[2:4], targets=sides[4][few], counting=False
    )
    found = everything()
    apart = max(
        float((found[name][few] - values).abs().nan_to_num().max())
        for name, values in wanted.items()
        if not name.startswith("rank")
    )
    return (*times, apart)


def main() -> None:
    """Print a row for each size and budget."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", nargs="+", default=["sketchy", "quickdraw"], choices=SIZES)
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5, 1, 2], help="in GB")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, fp32, {WIDTH}-d, median of {options.repeats}\n")
    print("| size | block GB | product s | mAP@all s | x | everything s | x | largest difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for size in options.sizes:
        sides = inputs(*SIZES[size])
        for budget in options.budgets:
            room = int(budget * 2**30)
            bare, alone, whole, apart = measure(sides, device, room, options.repeats)
            print(
                f"| {size} | {budget:g} | {bare:.4f} | {alone:.4f} | {alone / bare:.1f} | "
                f"{whole:.4f} | {whole / bare:.1f} | {apart:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
