"""Part ``inputs``: changed inputs of every kind, in a forked process that may hang or die."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tools.campaigns.kept import halve
from tools.campaigns.kinds import arrays, drawings, images, models, results, settings
from tools.campaigns.kinds.cases import Case, Maker
from tools.campaigns.log import FAULTS
from tools.campaigns.observe import Observed, Report, observe
from tools.campaigns.samples import fixtures_in, is_complete, make_fixtures
from tools.campaigns.warm import preload
from tools.campaigns.worker import DiedError, HangError, Worker

LIMIT = 60.0
"""Seconds after which an input hangs."""

MAKERS: dict[str, Maker] = {
    **images.MAKERS,
    **drawings.MAKERS,
    **arrays.MAKERS,
    **settings.MAKERS,
    **models.MAKERS,
    **results.MAKERS,
}


def prepare_fixtures(folder: Path) -> None:
    """Make the valid inputs in a process of its own, as threads cannot be forked.

    Args:
        folder: Of the campaign.

    Raises:
        RuntimeError: If the product cannot make them.
    """
    target = folder / "fixtures"
    if is_complete(target):
        return
    worker = Worker(lambda where: observe(lambda: make_fixtures(where)), 1800)
    try:
        if (made := worker.ask(target)).outcome != "fine":
            raise RuntimeError(f"The valid inputs cannot be made: {made.message} {made.details}")
    finally:
        worker.close()


class Inputs:
    """Trials of changed inputs.

    Args:
        folder: For valid inputs, which stay, and for scratch.
        makers: Kinds and their makers.
        limit: Seconds of a trial.
    """

    name = "inputs"

    def __init__(
        self, folder: Path, makers: Mapping[str, Maker] | None = None, limit: float = LIMIT
    ) -> None:
        self._folder, self._makers = folder, makers or MAKERS
        self._worker = Worker(self._answer, limit)
        self._known: set[str] = set()

    @property
    def kinds(self) -> list[str]:
        """Names of the kinds."""
        return list(self._makers)

    def prepare(self) -> None:
        """Make the valid inputs, and import what every worker would else import."""
        prepare_fixtures(self._folder)
        preload()

    def trial(self, kind: str, seed: str) -> Report:
        """Make a case and try it."""
        start = time.monotonic()
        try:
            report: Report = self._worker.ask((kind, seed, True, frozenset(self._known)))
        except (HangError, DiedError) as error:
            outcome = "hang" if isinstance(error, HangError) else "traceback"
            observed = Observed(outcome, str(error), f"{outcome} {error}"[:80], str(error))
            seconds = time.monotonic() - start
            try:
                again = self._worker.ask((kind, seed, False, frozenset()))
                report = Report(again.done, observed, seconds, again.data)
            except (HangError, DiedError):
                report = Report("could not be made", observed, seconds)
        if report.observed.outcome in FAULTS:
            self._known.add(f"{kind} {report.observed.place}")
        return report

    def _answer(self, request: tuple[str, str, bool, frozenset[str]]) -> Report:
        """Of the worker: one case, from its kind and seed alone."""
        kind, seed, attempt, known = request
        scratch = self._folder / "scratch" / "input"
        made: list[Case] = []
        seen = observe(lambda: made.append(self.case(kind, seed, scratch)))
        if not made:  # a defect of the campaign, which is to be seen
            return Report("a case could not be made", seen, 0)
        case = made[0]
        if not attempt:
            return Report(case.done, Observed("fine"), 0, case.data)
        os.chdir(scratch)  # where a path that was typed by mistake may make something
        start = time.monotonic()
        observed = observe(lambda: case.attempt(case.data), case.names)
        seconds = time.monotonic() - start
        data = None
        if observed.outcome in FAULTS:
            data = case.data
            if f"{kind} {observed.place}" not in known and seconds < 1:
                data = halve(data, lambda smaller: _same(case, smaller, observed))
        return Report(case.done, observed, seconds, data)

    def case(self, kind: str, seed: str, scratch: Path) -> Case:
        """The case of a kind and a seed, in an empty folder."""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        fixtures = fixtures_in(self._folder / "fixtures")
        return self._makers[kind](Random(f"{kind} {seed}"), fixtures, scratch)

    def close(self) -> None:
        """End the process."""
        self._worker.close()


def _same(case: Case, data: bytes, wanted: Observed) -> bool:
    found = observe(lambda: case.attempt(data), case.names)
    return (found.outcome, found.place) == (wanted.outcome, wanted.place)
