"""Progress of a long command: a bar in a terminal, a line now and then in a log."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Counts what is done on stderr, with the time left.

    Args:
        total: Number of steps.
        title: Shown before the count.
        show: False for silence.
        every: Seconds between the lines of a log.
    """

    def __init__(self, total: int, title: str, show: bool = True, every: float = 10.0) -> None:
        self.total, self.title, self.every = total, title, every
        self.done = 0
        self.start = self.last = time.monotonic()
        self.console = Console(stderr=True, quiet=not show, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.bars = Bars(
            *columns,
            TimeRemainingColumn(),
            console=self.console,
            disable=not (show and self.console.is_terminal),
        )
        self.task = self.bars.add_task(title, total=total)

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()
        if self.done == self.total:
            self._line(f"done in {time.monotonic() - self.start:.0f} s")

    def step(self) -> None:
        """Count one more."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """Say that so many are done."""
        self.done = done
        self.bars.update(self.task, completed=done)
        now = time.monotonic()
        if now - self.last >= self.every and 0 < done < self.total:
            self.last = now
            self._line(f"{(now - self.start) / done * (self.total - done):.0f} s left")

    def _line(self, text: str) -> None:
        if self.bars.disable:
            self.console.print(f"{self.title}: {self.done} of {self.total}, {text}", markup=False)
