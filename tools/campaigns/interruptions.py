"""Part ``interruptions``: signals at random moments, and the command that goes on."""

import signal
import time
from pathlib import Path
from random import Random

from tools.campaigns.inputs import prepare_fixtures
from tools.campaigns.observe import Observed, Report
from tools.campaigns.processes import LIMIT, Ended, Launcher
from tools.campaigns.tasks import RESUMED
from tools.campaigns.undisturbed import Bench

COLD = 0.1
"""Share of trials in a new interpreter, which a signal may meet while it imports."""

_START = 4.0  # seconds that a new interpreter needs, roughly


class Interruptions:
    """Trials of SIGINT and SIGKILL.

    Args:
        folder: Of the campaign.
    """

    name = "interruptions"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._launcher = Launcher(folder / "scratch" / "output")
        self._bench = Bench(folder, RESUMED, self._launcher)

    @property
    def kinds(self) -> list[str]:
        """Names of the commands."""
        return list(RESUMED)

    def prepare(self) -> None:
        """Make the valid inputs."""
        prepare_fixtures(self._folder)

    def trial(self, kind: str, seed: str) -> Report:
        """Interrupt a command at some moment, give it again, and compare the results."""
        chance = Random(f"{kind} {seed}")
        whole = self._bench.undisturbed(kind)
        number = chance.choice((signal.SIGINT, signal.SIGINT, signal.SIGKILL))
        cold = chance.random() < COLD
        moment = 0.02 + chance.uniform(0, 1.05 * whole.seconds + _START * cold)
        start = time.monotonic()
        task = RESUMED[kind]
        self._bench.lay_out(task)
        command = self._bench.command(task.args(self._bench.fixtures, self._bench.work))
        self._launcher.start(command, cold)
        time.sleep(moment)
        # A terminal sends Ctrl+C to all processes; kill reaches one, and the others must end too.
        sent = self._launcher.signal(number, group=number == signal.SIGINT)
        ended = self._launcher.wait(LIMIT if sent else 300)
        observed = self._check(kind, ended, number) or self._bench.finish(kind)
        start_of = "a new process" if cold else "a fork"
        done = f"{number.name} after {moment:.2f} s of {whole.seconds:.2f}, {start_of}"
        return Report(done, observed or Observed("fine"), time.monotonic() - start)

    def _check(self, kind: str, ended: Ended, number: signal.Signals) -> Observed | None:
        """What is wrong right after the signal."""
        if ended.status is None:
            said = f"no end within {LIMIT:g} s of {number.name}: {ended.last_line}"
            return Observed("hang", said, f"{kind} {number.name}", ended.err)
        if left := self._launcher.left():
            self._launcher.kill()
            return Observed("wrong", f"{len(left)} processes are left", f"{kind} leaves processes")
        if number == signal.SIGINT and ended.status != 0:
            if ended.has_traceback:
                said = f"a traceback, {ended.last_line}"
                return Observed("traceback", said, f"{kind} SIGINT traceback", ended.err)
            if ended.status not in (130, -signal.SIGINT):
                said = f"status {ended.status}, {ended.last_line}"
                return Observed("unclear", said, f"{kind} SIGINT status {ended.status}", ended.err)
            if partial := self._bench.partial():
                said = f"left behind: {', '.join(partial[:3])}"
                return Observed("wrong", said, f"{kind} SIGINT leaves files")
        if number == signal.SIGKILL and ended.status not in (0, -signal.SIGKILL):
            return Observed("unclear", f"status {ended.status}", f"{kind} SIGKILL", ended.err)
        return self._bench.compared(kind, last=False) if RESUMED[kind].whole else None

    def close(self) -> None:
        """End the processes."""
        self._bench.close()
        self._launcher.close()
