"""``sketchclip ablate``: run a grid of cells and seeds, resume it, carry on past what fails."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sketchclip.arguments import Parser
from sketchclip.errors import SketchClipError
from sketchclip.grid import Cell, read_grid

DONE, LOG = "cell.json", "log.txt"
_EXAMPLES = """examples:
  sketchclip ablate experiments/embedded/components.yaml --seeds 0,1,2 --jobs 2
  sketchclip ablate experiments/ablations/components.yaml -- --data.root /path/to/Sketchy
  sketchclip ablate GRID --commands > commands.txt    one line a run, for a SLURM array
"""


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run ``sketchclip ablate``.

    Args:
        args: Arguments after the command; what follows ``--`` goes to every run.

    Returns:
        Titles of finished, skipped and failed runs.

    Raises:
        SystemExit: With status 1 if a run failed.
    """
    given = list(args)
    at = given.index("--") if "--" in given else len(given)
    given, extra = given[:at], given[at + 1 :]
    parser = Parser(
        prog="sketchclip ablate",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", help="YAML with cells")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated (default: 0,1,2)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--config", action="append", default=[], help="after each cell's own")
    parser.add_argument("--cells", default="", help="names, comma-separated (default: all)")
    parser.add_argument("--output", type=Path, help="folder (default: runs/<name of the grid>)")
    parser.add_argument("--commands", action="store_true", help="print the runs, run nothing")
    options = parser.parse_args(given)
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        raise SketchClipError(f"--seeds={options.seeds}: expected numbers such as 0,1,2.") from None
    only = [name for name in options.cells.split(",") if name]
    cells = read_grid(options.grid, seeds, options.config, only)
    output = options.output or Path("runs") / Path(options.grid).stem
    if options.commands:
        for cell in cells:
            print(_command(cell, options, output, extra))
        return {}
    return run_cells(cells, output, options.jobs, extra)


def _command(cell: Cell, options: argparse.Namespace, output: Path, extra: list[str]) -> str:
    words = ["sketchclip", "ablate", options.grid, "--cells", cell.name]
    words += ["--seeds", str(cell.seed), "--output", str(output)]
    words += [part for config in options.config for part in ("--config", config)]
    return shlex.join([*words, *(["--", *extra] if extra else [])])


def run_cells(
    cells: Sequence[Cell], output: Path, jobs: int = 1, extra: Sequence[str] = ()
) -> dict[str, Any]:
    """Run what is not finished yet.

    Args:
        cells: Runs.
        output: Each cell has a folder of its own in it.
        jobs: Runs at a time; GPUs are dealt out among them.
        extra: Arguments for every run.

    Returns:
        Titles of finished, skipped and failed runs.

    Raises:
        SystemExit: With status 1 if a run failed, after all others.
    """
    slots: Queue[int] = Queue()
    for slot in range(max(1, jobs)):
        slots.put(slot)
    waiting = [cell for cell in cells if not finished(cell, output, extra)]
    result: dict[str, Any] = {
        "skipped": [cell.title for cell in cells if cell not in waiting],
        "finished": [],
        "failed": [],
    }
    console = Console(stderr=True)
    if result["skipped"]:
        console.print(f"{len(result['skipped'])} of {len(cells)} runs are finished already.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(max(1, jobs)) as pool,
    ):
        task = progress.add_task("Runs", total=len(waiting))
        futures = {
            pool.submit(_run_in_slot, slots, cell, output, extra, jobs): cell for cell in waiting
        }
        for count, future in enumerate(as_completed(futures), start=1):
            cell, seconds = futures[future], future.result()
            progress.advance(task)
            state = "finished" if seconds is not None else "failed"
            result[state].append(cell.title)
            took = f"{seconds:.0f} s" if seconds is not None else f"see {cell.folder(output)}/{LOG}"
            console.print(f"[{count}/{len(waiting)}] {cell.title}: {state}, {took}", markup=False)
    print(f"Runs: {output}. Their table: sketchclip table {output}")
    if result["failed"]:
        print(f"Failed: {'; '.join(result['failed'])}. Start again to repeat only these.")
        raise SystemExit(1)
    return result


def _run_in_slot(
    slots: "Queue[int]", cell: Cell, output: Path, extra: Sequence[str], jobs: int
) -> float | None:
    slot = slots.get()
    try:
        return run_cell(cell, output, extra, slot, jobs)
    finally:
        slots.put(slot)


def finished(cell: Cell, output: Path, extra: Sequence[str] = ()) -> bool:
    """Whether a run with just these settings has its results."""
    try:
        done = json.loads((cell.folder(output) / DONE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(done.get("fingerprint") == cell.fingerprint(extra))


def run_cell(
    cell: Cell, output: Path, extra: Sequence[str] = (), slot: int = 0, jobs: int = 1
) -> float | None:
    """Train and test one cell in processes of its own, in an empty folder.

    Args:
        cell: The run.
        output: Of the grid.
        extra: Arguments for both commands.
        slot: Which of the runs at a time this is; decides its GPU.
        jobs: Runs at a time.

    Returns:
        Seconds it took; None if it failed, with the reason in the folder's log.txt.
    """
    start, folder = time.monotonic(), cell.folder(output)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    logger = "--trainer.logger.init_args"
    shared = [*cell.options(), *extra, f"{logger}.save_dir={folder}", f"{logger}.name="]
    shared += ["--trainer.enable_progress_bar=false"]
    steps = [["fit", *shared, f"{logger}.version=fit"]] if cell.train else []
    checkpoint = ["--ckpt_path", str(folder / "fit" / "checkpoints" / "last.ckpt")]
    steps.append(["test", *shared, f"{logger}.version=test", *(checkpoint if cell.train else [])])
    environment = {**os.environ, **_devices(slot, jobs)}
    with (folder / LOG).open("w", encoding="utf-8") as log:
        for step in steps:
            print("$ sketchclip", shlex.join(step), file=log, flush=True)
            program = [sys.executable, "-m", "sketchclip", *step]
            if subprocess.run(program, stdout=log, stderr=log, env=environment).returncode:
                return None
    seconds = time.monotonic() - start
    done = {
        "cell": cell.name,
        "seed": cell.seed,
        "fingerprint": cell.fingerprint(extra),
        "seconds": round(seconds, 1),
        "commit": commit(),
        "command": [["sketchclip", *step] for step in steps],
    }
    partial = folder / f"{DONE}.partial"
    partial.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / DONE)
    return seconds


def _devices(slot: int, jobs: int) -> dict[str, str]:
    """Environment that gives each of several runs a GPU, or a part of the cores."""
    if jobs < 2:
        return {}
    import torch

    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(n) for n in range(gpus)]
        return {"CUDA_VISIBLE_DEVICES": names[slot % len(names)]}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}


def commit() -> str | None:
    """Git commit of the code, with ``+`` where files differ from it; None outside a repository."""
    folder = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "."],
            cwd=folder.parent, capture_output=True, text=True,
        )  # fmt: skip
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
