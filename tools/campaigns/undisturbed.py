"""Runs of commands in one work folder, and the comparison with a run that nothing disturbed."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.campaigns.observe import Observed, general, observe, refusal
from tools.campaigns.processes import Command, Ended, Launcher
from tools.campaigns.samples import fixtures_in
from tools.campaigns.tasks import Result, Task
from tools.campaigns.worker import DiedError, HangError, Worker

_PARTIAL = re.compile(r"\.partial|\.tmp|~$|^\.last\.")


@dataclass(frozen=True)
class Undisturbed:
    """A run without disturbance: what it made, names of its files, and its seconds."""

    result: Result
    names: list[str]
    seconds: float


class Bench:
    """Lays out the work folder, runs a task in it, and reads its results.

    Args:
        folder: Of the campaign.
        tasks: By name.
        launcher: Runs commands.
    """

    def __init__(self, folder: Path, tasks: dict[str, Task], launcher: Launcher) -> None:
        self.work = folder / "scratch" / "work"
        self.fixtures = fixtures_in(folder / "fixtures")
        self._folder, self._tasks, self._launcher = folder, tasks, launcher
        self._worker = Worker(self._answer, 120)
        self._known: dict[str, Undisturbed] = {}

    def lay_out(self, task: Task) -> None:
        """Make the work folder as it is before the command."""
        shutil.rmtree(self.work, ignore_errors=True)
        (self.work / "out").mkdir(parents=True)
        if task.before is not None:
            shutil.rmtree(self.work / "out")
            task.before(self.fixtures, self.work)
            (self.work / "out").mkdir(exist_ok=True)

    def command(self, args: list[str]) -> Command:
        """A command in the work folder."""
        return Command(args, self.work)

    def undisturbed(self, name: str) -> Undisturbed:
        """The run without disturbance; made once in a campaign."""
        file = self._folder / "fixtures" / f"{name}.json"
        if name not in self._known and file.is_file():
            self._known[name] = Undisturbed(**json.loads(file.read_text("utf-8")))
        if name not in self._known:
            task = self._tasks[name]
            self.lay_out(task)
            args = task.args(self.fixtures, self.work)
            ended = self._launcher.run(self.command(args), 600)
            result = self.result(name)
            if ended.status != 0 or not isinstance(result, dict) or not result:
                raise RuntimeError(f"{name} fails undisturbed: {result} {ended}")
            self._known[name] = Undisturbed(result, self.names(), ended.seconds)
            file.write_text(json.dumps(vars(self._known[name])), encoding="utf-8")
        return self._known[name]

    def result(self, name: str) -> Result | Observed:
        """What a task has made so far, or how the reading of it failed."""
        return self._ask("result", name)

    def again(self, name: str) -> list[str] | Observed | None:
        """Arguments of the command that goes on."""
        return self._ask("again", name)

    def _ask(self, *request: str) -> "Result | list[str] | Observed | None":
        try:
            return self._worker.ask(request)
        except (HangError, DiedError) as error:
            return Observed("hang", str(error), "reading the results")

    def _answer(self, request: tuple[str, str]) -> "Result | list[str] | Observed | None":
        """Of a process of its own: the index's library may not be loaded before a fork."""
        what, name = request
        task, answers = self._tasks[name], []
        makes = task.result if what == "result" else task.again or task.args
        seen = observe(lambda: answers.append(makes(self.fixtures, self.work)))
        return answers[0] if seen.outcome == "fine" else seen

    def names(self) -> list[str]:
        """Names of all files below the folder that was written to."""
        out = self.work / "out"
        return sorted(str(path.relative_to(out)) for path in out.rglob("*"))

    def partial(self) -> list[str]:
        """Names of files that look unfinished."""
        return [name for name in self.names() if _PARTIAL.search(name.rpartition("/")[2])]

    def compared(self, name: str, last: bool) -> Observed | None:
        """Compare what is there with the undisturbed run; None if it is right.

        Args:
            name: Of the task.
            last: Whether all of it has to be there, and nothing else.
        """
        wanted, found = self.undisturbed(name), self.result(name)
        if isinstance(found, Observed):
            return Observed(
                "lost", found.message, f"results of {name} {found.place}", found.details
            )
        other = sorted(
            key for key in found if key in wanted.result and found[key] != wanted.result[key]
        )
        if other:
            said = f"{len(other)} of {len(found)} differ from the undisturbed run: {other[0]}"
            return Observed("wrong", said, f"{name} differs")
        if last and (missing := sorted(wanted.result.keys() - found.keys())):
            said = f"{len(missing)} of {len(wanted.result)} are missing: {missing[0]}"
            return Observed("lost", said, f"{name} misses results")
        if last and (more := sorted(found.keys() - wanted.result.keys())):
            return Observed(
                "wrong", f"more than in the undisturbed run: {more[0]}", f"{name} has more"
            )
        if last and self._tasks[name].stays and (left := sorted({*self.names()} - {*wanted.names})):
            return Observed("wrong", f"left behind: {', '.join(left[:3])}", f"{name} leaves files")
        return None

    def finish(self, name: str) -> Observed | None:
        """Give the command that goes on, without disturbance; None if all is right then."""
        args = self.again(name)
        if isinstance(args, Observed):
            return Observed("lost", args.message, f"{name} cannot go on", args.details)
        if args is not None:
            ended = self._launcher.run(self.command(args), 300)
            if ended.status != 0:
                said = f"the command that goes on ends with {ended.status}: {ended.last_line}"
                place = f"{name} again {status_of(ended).place}"
                return Observed("lost", said, place[:90], ended.err)
        return self.compared(name, last=True)

    def close(self) -> None:
        """End the processes."""
        self._worker.close()


def status_of(ended: Ended) -> Observed:
    """Classify the end of a command by status and stderr."""
    if ended.status is None:
        return Observed("hang", f"no end within the limit: {ended.last_line}", "hang", ended.err)
    if ended.has_traceback or ended.status < 0:
        lines = [x.strip() for x in ended.err.splitlines() if "clip/" in x and "File" in x]
        own = [x for x in lines if "/tools/" not in x and "site-packages" not in x]
        where = re.sub(r'File ".*/|",|line \d+,', "", (own or [""])[-1])
        said = f"status {ended.status}: {ended.last_line}"
        place = f"{general(ended.last_line).partition(':')[0][:40]} {where}"
        return Observed("traceback", said, place, ended.err)
    if ended.status == 0:
        return Observed("fine")
    if ended.status == 2:
        return refusal(ended.err)
    said = f"status {ended.status}: {ended.last_line}"
    return Observed("unclear", said, general(said), ended.err)
