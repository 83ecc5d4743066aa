"""Table of trials on disk, one line a trial, and its summary."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sketchclip.errors import SketchClipError

OUTCOMES = ("fine", "refused", "unclear", "traceback", "wrong", "hang", "lost", "skipped")
"""What a trial may end with.

fine: it worked, and what can be checked is right. refused: one message that names the file or the
option. unclear: refused without one such message. traceback: any other exception, or a process that
died. wrong: a result that differs from the reference, or something left behind. hang: no end within
the limit. lost: something that was finished is gone or changed. skipped: not possible here.
"""
FAULTS = frozenset({"unclear", "traceback", "wrong", "hang", "lost"})

_FIELDS = ("number", "kind", "seed", "done", "outcome", "seconds", "message")


@dataclass(frozen=True)
class Trial:
    """One line of the table.

    Attributes:
        number: From 1.
        kind: Part and kind, such as ``inputs/png``.
        seed: Of this trial: kind and seed make the same trial again.
        done: What was done, in words.
        outcome: One of ``OUTCOMES``.
        seconds: Duration.
        message: First line of what was said.
    """

    number: int
    kind: str
    seed: str
    done: str
    outcome: str
    seconds: float
    message: str


class Log:
    """Trials in a CSV file; what is there already is read, so that a campaign goes on.

    Args:
        path: The file.

    Raises:
        SketchClipError: If it is the table of something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials: list[Trial] = []
        if path.is_file():
            self._read()
        new = not path.is_file() or not path.stat().st_size
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        if new:
            self._writer.writerow(_FIELDS)
            self._file.flush()

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # the last line of a campaign that was killed
            self.path.write_bytes(whole)
        header, *rows = csv.reader(whole.decode().splitlines()) if whole else [list(_FIELDS)]
        if tuple(header) != _FIELDS:
            raise SketchClipError(
                f"{self.path}: expected the columns {', '.join(_FIELDS)}, found "
                f"{', '.join(header)}. Name another --output."
            )
        for number, kind, seed, done, outcome, seconds, message in rows:
            trial = Trial(int(number), kind, seed, done, outcome, float(seconds), message)
            self.trials.append(trial)

    def add(
        self, kind: str, seed: str, done: str, outcome: str, seconds: float, said: str
    ) -> Trial:
        """Append a trial; it is on disk when this returns."""
        assert outcome in OUTCOMES, outcome
        message = _line(said)
        trial = Trial(
            len(self.trials) + 1, kind, seed, _line(done), outcome, round(seconds, 3), message
        )
        self.trials.append(trial)
        self._writer.writerow(vars(trial).values())
        self._file.flush()
        return trial

    def count(self, kind: str) -> int:
        """Number of trials of a kind."""
        return sum(trial.kind == kind for trial in self.trials)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return "".join(c if c.isprintable() else "?" for c in lines[0])[:300]


def summary(trials: Iterable[Trial]) -> str:
    """Table of kinds by outcomes as Markdown, with a last line of all."""
    counts: dict[str, Counter[str]] = {}
    for trial in trials:
        for kind in (trial.kind, "all"):
            counts.setdefault(kind, Counter())[trial.outcome] += 1
    names = [*sorted(counts.keys() - {"all"}), *(["all"] if counts else [])]
    rows = [["kind", "tried", *OUTCOMES]]
    rows += [
        [name, str(counts[name].total()), *(str(counts[name][outcome]) for outcome in OUTCOMES)]
        for name in names
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
