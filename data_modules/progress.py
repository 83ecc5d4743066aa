"""How far a long command is: a bar in a terminal, a line now and then in a log."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Counts files on stderr, with the time left.

    Args:
        total: Number of files.
        title: Shown before the count.
        show: False for silence.
        every: Seconds between the lines of a log.
    """

    def __init__(self, total: int, title: str, show: bool = True, every: float = 10.0) -> None:
        self.total, self.title, self.every = total, title, every
        self.done = 0
        self.start = self.last = time.monotonic()
        terminal = show and sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=title, unit=" images") if terminal else None
        self.lines = show and not terminal

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.lines and self.done == self.total:
            self._line(f"done in {_duration(time.monotonic() - self.start)}")

    def step(self) -> None:
        """One file more."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """Say that so many files are done."""
        if self.bar is not None:
            self.bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        if self.lines and now - self.last >= self.every and 0 < done < self.total:
            self.last = now
            left = (now - self.start) / done * (self.total - done)
            self._line(f"{_duration(left)} left")

    def _line(self, text: str) -> None:
        print(f"{self.title}: {self.done} of {self.total}, {text}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> _duration(42), _duration(754), _duration(9000)
    ('42 s', '13 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
