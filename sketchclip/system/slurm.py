"""Jobs of SLURM: which of several processes is the first, and how a job is run again."""

import os
import shutil
import subprocess

REQUEUE = "SKETCHCLIP_REQUEUE"
"""Environment variable: 0 leaves a job as it is."""

_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")


def is_first_process() -> bool:
    """Whether this process is the only one, or the first of all tasks and nodes."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def job_name() -> str | None:
    """Return the number of this job as scontrol takes it; None outside SLURM.

    The tasks of an array are jobs of their own: ``<array>_<task>``.
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def requeue() -> str:
    """Ask SLURM, from the first process, to run this job again.

    Returns:
        What came of it, for people; empty where there is nothing to ask for.
    """
    job = job_name()
    if job is None or os.environ.get(REQUEUE) == "0" or not is_first_process():
        return ""
    failed = f"SLURM does not run job {job} again ({{}}): submit it once more."
    program = shutil.which("scontrol")
    if program is None:
        return failed.format("scontrol is not on the path")
    try:
        done = subprocess.run([program, "requeue", job], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return failed.format(error)
    if done.returncode:
        return failed.format(done.stderr.strip() or f"scontrol: status {done.returncode}")
    return f"SLURM runs job {job} again."
