"""Runs the cells of a grid: some at a time, each once, past those that fail."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
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

from sketchclip.runs.ablation_grid import Cell
from sketchclip.runs.folder import CELL
from sketchclip.runs.revision import commit

LOG = "log.txt"


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
    console, start = Console(stderr=True), time.monotonic()
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
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                cell, seconds = futures[future], future.result()
                progress.advance(task)
                state, took = "failed", f"see {cell.folder(output)}/{LOG}"
                if seconds is not None:
                    state, took = "finished", f"{seconds:.0f} s"
                result[state].append(cell.title)
                # In a terminal the bar says how much time is left.
                left = "" if console.is_terminal else _left(start, count, len(waiting))
                line = f"[{count}/{len(waiting)}] {cell.title}: {state}, {took}{left}"
                console.print(line, markup=False, soft_wrap=True)
        except KeyboardInterrupt:  # the runs themselves were interrupted by the same key
            pool.shutdown(wait=False, cancel_futures=True)
            console.print("Stopped. Start again: finished runs are kept.")
            raise SystemExit(130) from None
    print(f"Runs: {output}. Their table: sketchclip table {output}")
    if result["failed"]:
        print(f"Failed: {'; '.join(result['failed'])}. Start again to repeat only these.")
        raise SystemExit(1)
    return result


def _left(start: float, done: int, total: int) -> str:
    """Time that the other runs will take if they are like those so far."""
    seconds = (time.monotonic() - start) * (total - done) / done
    return f", about {timedelta(seconds=round(seconds))} left" if done < total else ""


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
        done = json.loads((cell.folder(output) / CELL).read_text("utf-8"))
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
    partial = folder / f"{CELL}.partial"
    partial.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / CELL)
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
