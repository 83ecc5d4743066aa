"""Check of a dataset folder, as ``sketchclip data check`` runs it."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_modules.processes import in_processes
from data_modules.progress import Progress
from sketchclip.data_check.contents import Contents, count, look
from sketchclip.data_check.findings import (
    Finding,
    class_findings,
    copy_findings,
    count_findings,
    file_findings,
)
from sketchclip.data_check.fit_command import Command, fit_command
from sketchclip.data_check.recognize import recognize
from sketchclip.data_check.survey import Reading, read_one

VERSION = 1
"""Version of the keys of :meth:`Report.as_dict`."""


@dataclass
class Report:
    """Result of a check.

    Attributes:
        contents: The dataset on disk.
        recognized: Reason why this dataset was recognized.
        counts: Classes, sketches, photos and pairs of all, seen and unseen classes.
        findings: One for each check, in the order of printing.
        command: A ``sketchclip fit`` that works here; empty if none does.
        quick: True if the images were left unread.
        seconds: Duration of the check.
    """

    contents: Contents
    recognized: str
    counts: dict[str, dict[str, int]]
    findings: list[Finding]
    command: str
    quick: bool
    seconds: float

    @property
    def ready(self) -> bool:
        """True if nothing stops or changes training and test."""
        return all(finding.status != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        data, split = self.contents.data, self.contents.split
        sketches, photos = self.contents.sketches, self.contents.photos
        layout = data.catalogue.files.layout
        return {
            "version": VERSION,
            "ready": self.ready,
            "dataset": type(data).__name__,
            "recognized_by": self.recognized,
            "root": str(data.catalogue.files.root),
            "layout": {"name": layout.name, "folders": [str(path) for path in layout.folders]},
            "split": None
            if split is None
            else {
                "name": split.name,
                "seen": list(split.seen),
                "unseen": list(split.unseen),
                "listed": {"seen": split.listed[0], "unseen": split.listed[1]},
                "complete": split.complete,
            },
            "counts": self.counts,
            "classes": {
                name: {"sketches": len(sketches.get(name, ())), "photos": len(photos.get(name, ()))}
                for name in sorted(sketches.keys() | photos.keys())
            },
            "checks": [asdict(finding) for finding in self.findings],
            "fit": self.command or None,
            "quick": self.quick,
            "seconds": round(self.seconds, 2),
        }


def check(
    root: Path,
    dataset: str | None = None,
    split: str | None = None,
    patterns: Mapping[str, Any] | None = None,
    workers: int = 1,
    quick: bool = False,
) -> Report:
    """Check a dataset on disk.

    Args:
        root: Folder of the dataset.
        dataset: Name of the data module; recognized if None.
        split: Value for ``data.split``; None for the default of the dataset.
        patterns: ``sketch_files`` and ``photo_files`` of the data module, if not in folders.
        workers: Processes that read images.
        quick: Look at names and sizes alone.

    Raises:
        SketchClipError: If no dataset is found in the folder, or it cannot be listed.
    """
    start = time.monotonic()
    recognized = recognize(root, dataset, named=bool(patterns))
    patterns = dict(patterns or {})
    data = recognized.dataset(root=str(root), split=split, num_workers=0, **patterns)
    contents = look(data)
    command = fit_command(data, split, patterns, len(contents.both))
    if contents.split is None and not contents.problem and command.data is not None:
        contents.split = command.data.catalogue.split  # plain folders have no default split
    used = contents.split
    counts = {
        "all": count(contents, contents.both),
        "seen": count(contents, used.seen if used else ()),
        "unseen": count(contents, used.unseen if used else ()),
    }
    readings: list[Reading] | None = None
    if not quick:
        readings = []
        files = contents.files()
        with Progress(len(files), "Reading images") as progress:
            for part in in_processes(read_one, files, workers, chunk=64):
                readings += part
                progress.reach(len(readings))
    findings = [
        Finding("layout", "ok", f"{_locations(contents)} ({data.catalogue.files.layout.name})"),
        *class_findings(contents),
        *count_findings(contents, counts),
        *file_findings(contents.surveys, readings),
        *copy_findings(contents, readings),
        _fit_finding(command, stated=bool(split or data.default_split)),
    ]
    text = command.text
    if text and any(f.name == "unreadable" and f.items for f in findings):
        text += " --data.on_error skip"
    seconds = time.monotonic() - start
    return Report(contents, recognized.reason, counts, findings, text, quick, seconds)


def _fit_finding(command: Command, stated: bool) -> Finding:
    if command.data is None:
        return Finding("fit", "error", command.problem, "Correct what is listed above.")
    if not command.problem:
        return Finding("fit", "ok", f"works with split {command.data.catalogue.split.name}")
    advice = f"The command below works with split {command.data.catalogue.split.name}."
    return Finding("fit", "error" if stated else "warning", command.problem, advice)


def _locations(contents: Contents) -> str:
    files = contents.data.catalogue.files
    layout = files.layout
    if not layout.folders:
        return f"{files.sketch_files} and {files.photo_files}"
    return " and ".join(str(path.relative_to(layout.root)) for path in layout.folders)
