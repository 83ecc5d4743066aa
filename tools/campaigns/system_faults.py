"""Part ``faults``: a disk that is full, broken or read-only, and limits of the system."""

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path
from random import Random

from sketchclip.errors import SketchClipError
from tools.campaigns.inputs import prepare_fixtures
from tools.campaigns.observe import Observed, Report
from tools.campaigns.processes import LIMIT, Command, Ended, Launcher
from tools.campaigns.tasks import WRITERS
from tools.campaigns.undisturbed import Bench, status_of

_CALLS = ("open", "write", "read", "fsync", "rename", "mkdir")
_ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)
_MOUNTS = ("full", "readonly")
_LIMITS = ("file_size", "handles")
_SOURCE = Path(__file__).with_name("shim.c")


class SystemFaults:
    """Trials of faults that the system reports.

    Args:
        folder: Of the campaign.
    """

    name = "faults"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shim = self._compiled()
        env = {"LD_PRELOAD": str(self._shim)} if self._shim else {}
        self._launcher = Launcher(folder / "scratch" / "output", env)
        self._bench = Bench(folder, WRITERS, self._launcher)

    @property
    def kinds(self) -> list[str]:
        """Kinds of faults."""
        return [*_CALLS, *_MOUNTS, *_LIMITS]

    def prepare(self) -> None:
        """Make the valid inputs."""
        prepare_fixtures(self._folder)

    def _compiled(self) -> Path | None:
        """The library that makes calls fail; None without a compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return None
        target = self._folder / "shim.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(_SOURCE), "-ldl"]
        compiled = subprocess.run(command, capture_output=True, text=True)
        if compiled.returncode:
            raise SketchClipError(f"{_SOURCE} cannot be compiled: {compiled.stderr}")
        return target

    def trial(self, kind: str, seed: str) -> Report:
        """Run a command with a fault, then without, and compare the results."""
        start = time.monotonic()
        why = "no C compiler" if kind in _CALLS and self._shim is None else ""
        why = why or ("not root" if kind in _MOUNTS and os.geteuid() else "")
        if why:
            return Report(why, Observed("skipped", why), 0)
        chance = Random(f"{kind} {seed}")
        # A small disk hides what was in the folder, so no index can be brought up to date there.
        name = chance.choice(sorted({*WRITERS} - ({"update"} if kind == "full" else set())))
        task = WRITERS[name]
        self._bench.undisturbed(name)
        self._bench.lay_out(task)
        args = task.args(self._bench.fixtures, self._bench.work)
        fired = self._folder / "scratch" / "fired"
        fired.unlink(missing_ok=True)
        command, done = self._disturbed(kind, args, chance, fired)
        ended = self._launcher.run(command, LIMIT + 60)
        if kind in _CALLS and not fired.exists():
            seconds = time.monotonic() - start
            return Report(
                f"{name}, {done}", Observed("skipped", "so many calls were not made"), seconds
            )
        if kind == "full":
            self._bench.lay_out(task)  # what was on the small disk has gone with it
        observed = self._check(kind, name, ended) or self._bench.finish(name)
        seconds = time.monotonic() - start
        return Report(f"{name}, {done}", observed or status_of(ended), seconds)

    def _disturbed(
        self, kind: str, args: list[str], chance: Random, fired: Path
    ) -> tuple[Command, str]:
        work, out = self._bench.work, self._bench.work / "out"
        if kind in _CALLS:
            number = int(2 ** chance.uniform(0, 5 if kind in ("open", "read", "write") else 1.5))
            code = chance.choice((*_ERRORS, *((0,) if kind in ("read", "write") else ())))
            env = {
                "FAULT_CALL": kind,
                "FAULT_BELOW": str(work),
                "FAULT_NTH": str(number),
                "FAULT_ERROR": str(code),
                "FAULT_FIRED": str(fired),
            }
            lasts = chance.random() < 0.5 and bool(code)
            env |= {"FAULT_LASTS": "1"} if lasts else {}
            what = errno.errorcode.get(code, "a short count")
            return Command(args, work, env), f"{kind} {number}{' and later' * lasts}: {what}"
        if kind == "full":
            size = chance.choice((4, 16, 64, 256)) * 1024
            mount = {"kind": "tmpfs", "folder": str(out), "size": str(size)}
            return Command(args, work, mount=mount), f"a disk of {size} bytes"
        if kind == "readonly":
            return Command(args, work, mount={"kind": "readonly", "folder": str(out)}), "read-only"
        if kind == "file_size":  # above what commands print, which goes to files here
            size = chance.choice((20_000, 65_536))
            return Command(args, work, limits={"RLIMIT_FSIZE": size}), f"files of {size} bytes"
        count = chance.randint(12, 40)
        return Command(args, work, limits={"RLIMIT_NOFILE": count}), f"{count} handles"

    def _check(self, kind: str, name: str, ended: Ended) -> Observed | None:
        """What is wrong right after the command with the fault."""
        seen = status_of(ended)
        if seen.outcome not in ("fine", "refused"):
            return Observed(seen.outcome, seen.message, f"{name} {seen.place}", seen.details)
        if left := self._launcher.left():
            self._launcher.kill()
            return Observed("wrong", f"{len(left)} processes are left", f"{name} leaves processes")
        # A path, or the option: handles are of the whole process.
        named = str(self._folder) in ended.err or kind == "handles"
        if seen.outcome == "refused" and not named:
            said = f"(names no path) {seen.message}"
            return Observed("unclear", said, f"{name} names no path", ended.err)
        return self._bench.compared(name, last=False) if WRITERS[name].whole else None

    def close(self) -> None:
        """End the processes."""
        self._bench.close()
        self._launcher.close()
