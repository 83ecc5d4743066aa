"""What is wrong with a dataset on disk, measured on what is published, and what to do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from sketchclip.data_check.contents import Contents
from sketchclip.data_check.survey import LARGE_FILE, Reading, Survey

Status = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True)
class Item:
    """One thing that a finding is about.

    Attributes:
        name: A path or a class.
        detail: What is the matter with it.
    """

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name


@dataclass
class Finding:
    """Result of one check.

    Attributes:
        name: Of the check.
        status: error stops or changes training or test, warning does not.
        found: What was found.
        advice: What to do; empty if nothing.
        items: What it is about, all of it.
    """

    name: str
    status: Status
    found: str
    advice: str = ""
    items: list[Item] = field(default_factory=list)


def class_findings(contents: Contents) -> list[Finding]:
    """Missing, foreign, one-sided, empty and ambiguous classes."""
    both, listed = set(contents.both), contents.listed
    here = contents.sketches.keys() | contents.photos.keys()
    findings = []
    if contents.split is None:
        findings.append(Finding("split", "error", contents.problem, "Name another with --split."))
    if listed and contents.split is not None:
        split = contents.split
        missing = sorted(listed - both)
        items = [Item(name, _similar(name, here - listed)) for name in missing]
        guesses = sum("did you mean" in item.detail for item in items)
        advice = "Unpack the rest, or train on what is here with the command below."
        if guesses:
            advice = f"Rename the {guesses} folders that look misspelled. {advice}"
        findings.append(
            Finding("classes", "error", f"{split.coverage} of {split.name}", advice, items)
            if missing
            else Finding("classes", "ok", f"all of {split.name}: {split.coverage}")
        )
        extra = [Item(name, _similar(name, listed - both)) for name in split.ignored]
        findings.append(
            Finding(
                "other classes",
                "warning",
                f"{len(extra)} classes that {split.name} does not name",
                "Nothing: they are left out. If one is misspelled, rename its folders.",
                extra,
            )
            if extra
            else Finding("other classes", "ok", "none")
        )
    elif not listed:
        findings.append(Finding("classes", "ok", f"{len(both)} with sketches and photos"))
    alone = [
        Item(
            name,
            f"{len(contents.sketches[name]):,} sketches, no photos"
            if name in contents.sketches
            else f"{len(contents.photos[name]):,} photos, no sketches",
        )
        for name in sorted(here - both)
    ]
    findings.append(
        _finding(
            "one side only",
            alone,
            "warning",
            "classes have only sketches or only photos",
            "Add the other side. Until then they are neither trained nor tested on.",
        )
    )
    empty = [Item(str(p)) for found in contents.surveys for p in found.empty]
    text = "class folders have no image"
    findings.append(_finding("empty folders", empty, "error", text, "Fill or remove them."))
    twice = [
        Item(str(folders[0]), f"same class as {', '.join(p.name for p in folders[1:])}")
        for found in contents.surveys
        for folders in found.spellings
    ]
    text = "classes have several folders"
    findings.append(_finding("spelling", twice, "error", text, "Merge or rename the folders."))
    if contents.refused and not (empty or twice):
        findings.append(Finding("listing", "error", contents.refused))
    return findings


def _finding(name: str, items: list[Item], status: Status, found: str, advice: str) -> Finding:
    if not items:
        return Finding(name, "ok", "none")
    return Finding(name, status, f"{len(items):,} {found}", advice, items)


def _similar(name: str, others: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(others), n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else ""


def count_findings(contents: Contents, counts: Mapping[str, dict[str, int]]) -> list[Finding]:
    """Numbers of training and test images, beside the published ones, and instance pairs."""
    findings = []
    split = contents.split
    published = contents.published
    for side, title in (("seen", "training"), ("unseen", "test")) if split else ():
        found = counts[side]
        text = ", ".join(f"{found[what]:,} {what}" for what in ("sketches", "photos"))
        expected: dict[str, int] = {}
        if published and side == "unseen":
            expected = {"sketches": published.unseen_sketches, "photos": published.unseen_photos}
        elif published and published.sketches:
            # Sources differ in the photos of the seen classes.
            expected = {"sketches": published.sketches - published.unseen_sketches}
        differs = [f"{n:,} {what}" for what, n in expected.items() if n != found[what]]
        if not differs:
            agrees = f" ({' and '.join(expected)} as published)" if expected else ""
            findings.append(Finding(title, "ok", text + agrees))
            continue
        complete = bool(split and split.complete)
        findings.append(
            Finding(
                title,
                "error" if complete and side == "unseen" else "warning",
                f"{text}; published: {', '.join(differs)}",
                "Unpack the archive again: results are not comparable with published ones."
                if complete
                else "See classes: results on a part are not comparable with published ones.",
            )
        )
    pairs, sketches = counts["all"]["pairs"], counts["all"]["sketches"]
    if 2 * pairs < sketches:
        text = f"{pairs:,} of {sketches:,} sketches name a photo: category level only"
        return [*findings, Finding("pairs", "ok", text)]
    lost = [
        Item(str(path), f"no photo {contents.data.instance_of(path, 'sketch')}")
        for name in contents.both
        for path in contents.lost(name)
    ]
    text = f"{pairs:,} of {sketches:,} sketches have their photo"
    if not lost:
        return [*findings, Finding("pairs", "ok", text)]
    advice = "Add the photos if you train on pairs; nothing at category level."
    return [*findings, Finding("pairs", "warning", text, advice, lost)]


def file_findings(surveys: Sequence[Survey], readings: Sequence[Reading] | None) -> list[Finding]:
    """Files that are no images, cannot be read, or look wrong.

    Args:
        surveys: Of each folder.
        readings: Of every image; None if they were not read.
    """
    foreign = [Item(str(path)) for found in surveys for path in found.foreign]
    zero = {path: "zero bytes" for found in surveys for path in found.zero}
    large = {path: f"above {LARGE_FILE >> 20} MiB" for found in surveys for path in found.large}
    bad = zero | {r.path: r.error for r in readings or () if r.error and r.path not in zero}
    odd = large | {r.path: r.oddity for r in readings or () if r.oddity}
    findings = [
        _finding(
            "other files",
            foreign,
            "warning",
            "files or folders among the images are no images",
            "Nothing: they are left out. Move images in deeper folders up.",
        ),
        _finding(
            "unreadable",
            _items(bad),
            "error",
            "images cannot be read",
            "Unpack them again or remove them. --data.on_error skip works without them.",
        ),
        _finding(
            "unusual images",
            _items(odd),
            "warning",
            "images are empty, tiny or huge",
            "Look at them; remove what is no sketch or photo.",
        ),
    ]
    if readings is None:
        skipped = "images were not read (--quick)"
        for finding in findings[1:]:
            if finding.status == "ok":
                finding.status, finding.found = "skipped", skipped
    return findings


def _items(details: Mapping[Path, str]) -> list[Item]:
    return [Item(str(path), details[path]) for path in sorted(details)]


def copy_findings(contents: Contents, readings: Sequence[Reading] | None) -> list[Finding]:
    """Images that are there more than once.

    Args:
        contents: The dataset.
        readings: Of every image; None if they were not read.
    """
    findings = []
    if contents.repeated:
        total = len(contents.repeated)
        text = f"{total:,} photos of Sketchy are among the extended ones too"
        advice = "Nothing: each counts once. --data.gallery zse_dup repeats them."
        findings.append(Finding("base photos", "ok", text, advice))
    if readings is None:
        return [*findings, Finding("copies", "skipped", "images were not read (--quick)")]
    digests = {reading.path: reading.digest for reading in readings if reading.digest}
    within: list[Item] = []
    across: list[Item] = []
    leaks = 0
    unseen = set(contents.split.unseen) if contents.split else set()
    places: dict[str, list[tuple[str, str, Path]]] = defaultdict(list)
    for side, listing in (("sketch", contents.sketches), ("photo", contents.photos)):
        for name, files in sorted(listing.items()):
            for path in files:
                if path in digests:
                    places[digests[path]].append((side, name, path))
    for same in places.values():
        first_side, first_name, first = same[0]
        for side, name, path in same[1:]:
            detail = f"same content as {first}"
            if (side, name) == (first_side, first_name):
                within.append(Item(str(path), detail))
            else:
                across.append(Item(str(path), detail))
                leaks += (name in unseen) != (first_name in unseen)
    published = bool(contents.data.published)
    settled = "Nothing: results are published on the set as it is." if published else ""
    leaked = f", {leaks:,} of them between test classes and others" if leaks else ""
    return [
        *findings,
        _finding(
            "copies in a class",
            within,
            "warning",
            "images repeat another of their class and side",
            settled or "Remove them.",
        ),
        _finding(
            "copies across",
            across,
            "warning",
            f"images repeat one of another class or side{leaked}",
            settled or "Decide where each belongs and remove the others.",
        ),
    ]
