"""Execution of an ablation grid: several runs at a time, each once, continuing past failures."""

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

from data_modules.progress import Progress
from sketchclip.runs.ablation_grid import AblationRun
from sketchclip.runs.folder import FINISHED
from sketchclip.runs.revision import commit
from sketchclip.system.signals import say_stopped, stop_status

LOG = "log.txt"
_PATIENCE = 20.0
"""Seconds that runs have to stop."""


def run_all(
    runs: Sequence[AblationRun], output: Path, jobs: int = 1, extra: Sequence[str] = ()
) -> dict[str, Any]:
    """Train and test every run that is not finished yet, several at a time.

    Args:
        runs: Runs of the grid.
        output: Folder with one folder for each run.
        jobs: Runs at a time; GPUs are dealt out among them.
        extra: Arguments for every run.

    Returns:
        Titles of finished, skipped and failed runs.

    Raises:
        SystemExit: With status 1 if a run failed, after all others.
    """
    _RUNNING.start()
    slots: Queue[int] = Queue()
    for slot in range(max(1, jobs)):
        slots.put(slot)

    waiting = [run for run in runs if not finished(run, output, extra)]
    waiting.sort(key=lambda run: run.base is not None)  # after the run whose checkpoint they test
    started: dict[str, Future] = {}

    def in_slot(run: AblationRun) -> float | None:
        if run.base is not None and run.base.title in started:
            wait([started[run.base.title]])  # it has a slot, or is through: the pool keeps order
        slot = slots.get()
        try:
            return run_one(run, output, extra, slot, jobs)
        finally:
            slots.put(slot)

    result: dict[str, Any] = {
        "skipped": [run.title for run in runs if run not in waiting],
        "finished": [],
        "failed": [],
    }
    start = time.monotonic()
    with (
        Progress(len(waiting), "Runs", every=math.inf) as progress,
        ThreadPoolExecutor(max(1, jobs)) as pool,
    ):
        console = progress.console
        if result["skipped"]:
            console.print(f"{len(result['skipped'])} of {len(runs)} runs are finished already.")
        for run in waiting:
            started[run.title] = pool.submit(in_slot, run)
        futures = dict(zip(started.values(), waiting, strict=True))
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                run, seconds = futures[future], future.result()
                progress.step()
                state, took = "failed", f"see {run.folder(output)}/{LOG}"
                if seconds is not None:
                    state, took = "finished", f"{seconds:.0f} s"
                result[state].append(run.title)
                # In a terminal the bar says how much time is left.
                left = "" if console.is_terminal else _left(start, count, len(waiting))
                line = f"[{count}/{len(waiting)}] {run.title}: {state}, {took}{left}"
                console.print(line, markup=False)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            _RUNNING.stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
            progress.bars.stop()
            say_stopped("Start again: finished runs are kept.")
            raise SystemExit(stop_status(error)) from None
    print(f"Runs: {output}. Their table: sketchclip table {output}")
    if result["failed"]:
        print(f"Failed: {'; '.join(result['failed'])}. Start again to repeat only these.")
        raise SystemExit(1)
    return result


class _Running:
    """Processes of the runs, which end with the command: none goes on in the background."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen] = set()
        self._stopped = False

    def start(self) -> None:
        """Allow processes."""
        self._stopped = False

    def call(self, program: Sequence[str], **options: Any) -> int:
        """Run a program to its end; return its status, not 0 if all have been stopped."""
        with self._lock:
            if self._stopped:
                return 1
            process = subprocess.Popen(program, **options)
            self._processes.add(process)
        try:
            return process.wait()
        finally:
            self._processes.discard(process)

    def stop(self) -> None:
        """Ask all processes to end, as the terminal may have done, and end those that do not."""
        with self._lock:
            self._stopped = True
            processes = [*self._processes]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


_RUNNING = _Running()


def _left(start: float, done: int, total: int) -> str:
    """Estimate the time that the other runs will take from those so far."""
    seconds = (time.monotonic() - start) * (total - done) / done
    return f", about {timedelta(seconds=round(seconds))} left" if done < total else ""


def finished(run: AblationRun, output: Path, extra: Sequence[str] = ()) -> bool:
    """Tell if a run with exactly these settings has its results."""
    try:
        done = json.loads((run.folder(output) / FINISHED).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(done.get("settings_hash") == run.settings_hash(extra))


def run_one(
    run: AblationRun, output: Path, extra: Sequence[str] = (), slot: int = 0, jobs: int = 1
) -> float | None:
    """Train and test one run in separate processes, in an empty folder.

    Returns:
        Duration in seconds; None if it failed, with the reason in the folder's log.txt.
    """
    start, folder = time.monotonic(), run.folder(output)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if run.base is not None and not finished(run.base, output, extra):
        told = f"{run.base.title} has no checkpoint of these settings. Run that cell first."
        (folder / LOG).write_text(told + "\n", encoding="utf-8")
        return None
    logger = "--trainer.logger.init_args"
    shared = [*run.options(), *extra, f"{logger}.save_dir={folder}", f"{logger}.name="]
    shared += ["--trainer.enable_progress_bar=false"]
    steps = [["fit", *shared, f"{logger}.version=fit"]] if run.train else []
    trained = run.base or (run if run.train else None)
    test = ["test", *shared, f"{logger}.version=test"]
    if trained is not None:
        file = trained.folder(output) / "fit" / "checkpoints" / f"{run.checkpoint}.ckpt"
        test += ["--ckpt_path", str(file)]
    steps.append(test)
    environment = {**os.environ, **_devices(slot, jobs)}
    with (folder / LOG).open("w", encoding="utf-8") as log:
        for step in steps:
            print("$ sketchclip", shlex.join(step), file=log, flush=True)
            program = [sys.executable, "-m", "sketchclip", *step]
            if _RUNNING.call(program, stdout=log, stderr=log, env=environment):
                return None
    seconds = time.monotonic() - start
    done = {
        "run": run.name,
        "seed": run.seed,
        "settings_hash": run.settings_hash(extra),
        "seconds": round(seconds, 1),
        "commit": commit(),
        "command": [["sketchclip", *step] for step in steps],
    }
    partial = folder / f"{FINISHED}.partial"
    partial.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / FINISHED)
    return seconds


def _devices(slot: int, jobs: int) -> dict[str, str]:
    """Build the environment that gives each of several runs a GPU, or a part of the cores."""
    if jobs < 2:
        return {}
    import torch

    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(n) for n in range(gpus)]
        return {"CUDA_VISIBLE_DEVICES": names[slot % len(names)]}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
