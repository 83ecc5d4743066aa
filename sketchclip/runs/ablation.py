"""Execution of an ablation grid: several runs at a time, each once, continuing past failures."""

import json
import math
import os
import shlex
import shutil
import signal
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
from sketchclip.errors import printable
from sketchclip.runs.ablation_grid import AblationRun
from sketchclip.runs.folder import CHECKPOINTS, COST, FINISHED, FIT, LAST
from sketchclip.runs.revision import commit
from sketchclip.system.signals import PREEMPTED, say_stopped, stop_status
from sketchclip.system.slurm import REQUEUE

LOG = "log.txt"
_ERROR = "sketchclip: error: "
_BEGUN = "begun.json"
"""File in a run with the hash of the settings that it was begun with."""
_PATIENCE = 20.0
"""Seconds that runs have to stop."""
_NOTICE = 240.0
"""Seconds that they have to end a validation and save, where a cluster has told before its end."""


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
                log = run.folder(output) / LOG
                state, took = "failed", f"see {log}{reason(log)}"
                if seconds is not None:
                    state, took = "finished", f"{seconds:.0f} s"
                result[state].append(run.title)
                # In a terminal the bar says how much time is left.
                left = "" if console.is_terminal else _left(start, count, len(waiting))
                line = f"[{count}/{len(waiting)}] {run.title}: {state}, {took}{left}"
                console.print(line, markup=False)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            _RUNNING.stop(stop_status(error))
            if not isinstance(error, KeyboardInterrupt):
                raise
            progress.bars.stop()
            say_stopped("Start again: finished runs are kept, the others go on.")
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

    def stop(self, status: int | None) -> None:
        """Ask all processes to end, as the terminal may have done, and end those that do not.

        Args:
            status: Status of the command; a preempted one has time until its job ends.
        """
        preempted = status == PREEMPTED
        with self._lock:
            self._stopped = True
            processes = [*self._processes]
        for process in processes:
            process.send_signal(PREEMPTED - 128 if preempted else signal.SIGTERM)
        deadline = time.monotonic() + (_NOTICE if preempted else _PATIENCE)
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


_RUNNING = _Running()


def reason(log: Path) -> str:
    """The error in the log of a run that failed, to follow the name of the log.

    Args:
        log: File with what the run has printed.
    """
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.startswith(_ERROR)] or [x for x in lines if x.strip()]
    return f": {printable(told[-1].removeprefix(_ERROR).strip()):.400}" if told else ""


def _left(start: float, done: int, total: int) -> str:
    """Estimate the time that the other runs will take from those so far."""
    seconds = (time.monotonic() - start) * (total - done) / done
    return f", about {timedelta(seconds=round(seconds))} left" if done < total else ""


def finished(run: AblationRun, output: Path, extra: Sequence[str] = ()) -> bool:
    """Tell if a run with exactly these settings has its results."""
    done = _read(run.folder(output) / FINISHED)
    return bool(done.get("settings_hash") == run.settings_hash(extra))


def _read(file: Path) -> dict[str, Any]:
    """Read a file that may be missing or half written."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def run_one(
    run: AblationRun, output: Path, extra: Sequence[str] = (), slot: int = 0, jobs: int = 1
) -> float | None:
    """Train and test one run in separate processes, from where it was stopped if it was.

    Returns:
        Duration in seconds; None if it failed, with the reason in the folder's log.txt.
    """
    start, folder = time.monotonic(), run.folder(output)
    begun, settings_hash = folder / _BEGUN, run.settings_hash(extra)
    last = folder / FIT / CHECKPOINTS / f"{LAST}.ckpt"
    goes_on = last.is_file() and _read(begun).get("settings_hash") == settings_hash
    if folder.exists() and not goes_on:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.glob("test*"):  # of a test that was stopped
        shutil.rmtree(other)
    if run.base is not None and not finished(run.base, output, extra):
        told = f"{run.base.title} has no checkpoint of these settings. Run that cell first."
        (folder / LOG).write_text(told + "\n", encoding="utf-8")
        return None
    logger = "--trainer.logger.init_args"
    shared = [*run.options(), *extra, f"{logger}.save_dir={folder}", f"{logger}.name="]
    shared += ["--trainer.enable_progress_bar=false"]
    begun.write_text(json.dumps({"settings_hash": settings_hash}) + "\n", encoding="utf-8")
    resume = ["--ckpt_path", str(last)] if goes_on else []
    trains = run.train and not (goes_on and (folder / FIT / COST).is_file())  # written at its end
    steps = [["fit", *shared, f"{logger}.version={FIT}", *resume]] if trains else []
    trained = run.base or (run if run.train else None)
    test = ["test", *shared, f"{logger}.version=test"]
    if trained is not None:
        file = trained.folder(output) / "fit" / "checkpoints" / f"{run.checkpoint}.ckpt"
        test += ["--ckpt_path", str(file)]
    steps.append(test)
    environment = {**os.environ, **_devices(slot, jobs), REQUEUE: "0"}  # the grid asks for all
    with (folder / LOG).open("a" if goes_on else "w", encoding="utf-8") as log:
        for step in steps:
            print("$ sketchclip", shlex.join(step), file=log, flush=True)
            program = [sys.executable, "-m", "sketchclip", *step]
            if status := _RUNNING.call(program, stdout=log, stderr=log, env=environment):
                if status in (1, 2):  # no signal: what failed is tried from the start
                    begun.unlink(missing_ok=True)
                return None
    seconds = time.monotonic() - start
    done = {
        "run": run.name,
        "seed": run.seed,
        "settings_hash": settings_hash,
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
