"""Findings about a dataset on disk, compared with published counts, with advice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from sketchclip.data_check.contents import Contents
from sketchclip.data_check.survey import LARGE_FILE, Reading, Survey

Status = Literal["ok", "warning", "error", "skipped"]
_NOT_READ = "images were not read (--quick)"


@dataclass(frozen=True)
class Detail:
    """A path or a class, with what is wrong with it."""

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name


@dataclass
class Finding:
    """Result of one check.

    Attributes:
        name: Name of the check.
        status: error stops or changes training or test, warning does not.
        found: Result in words.
        advice: Next step of the user; empty if there is none.
        items: All paths or classes concerned.
    """

    name: str
    status: Status
    found: str
    advice: str = ""
    items: list[Detail] = field(default_factory=list)


def class_findings(contents: Contents) -> list[Finding]:
    """Report missing, foreign, one-sided, empty and ambiguous classes."""
    both, listed = set(contents.both), contents.listed
    here = contents.sketches.keys() | contents.photos.keys()
    findings = []
    if contents.split is None:
        findings.append(Finding("split", "error", contents.problem, "Name another with --split."))
    if listed and contents.split is not None:
        split = contents.split
        missing = sorted(listed - both)
        items = [Detail(name, _similar(name, here - listed)) for name in missing]
        guesses = sum("did you mean" in item.detail for item in items)
        advice = "Unpack the rest, or train on what is here with the command below."
        if guesses:
            advice = f"Rename what looks misspelled, {guesses} in all. {advice}"
        findings.append(
            Finding("classes", "error", f"{split.coverage} of {split.name}", advice, items)
            if missing
            else Finding("classes", "ok", f"all of {split.name}: {split.coverage}")
        )
        extra = [Detail(name, _similar(name, listed - both)) for name in split.ignored]
        text = f"class|classes| that {split.name} does not name"
        advice = "Nothing: they are left out. If one is misspelled, rename its folders."
        findings.append(_finding("other classes", extra, "warning", text, advice))
    elif not listed:
        findings.append(Finding("classes", "ok", f"{len(both)} with sketches and photos"))
    sides = (contents.sketches, "sketches, no photos"), (contents.photos, "photos, no sketches")
    alone = sorted(
        (
            Detail(name, f"{len(side[name]):,} {text}")
            for side, text in sides
            for name in {*side} - both
        ),
        key=lambda item: item.name,
    )
    text = "class has|classes have| only sketches or only photos"
    advice = "Add the other side. Until then they are neither trained nor tested on."
    findings.append(_finding("one side only", alone, "warning", text, advice))
    empty = [Detail(str(p)) for found in contents.surveys for p in found.empty]
    text = "class folder has|class folders have| no image"
    findings.append(_finding("empty folders", empty, "error", text, "Fill or remove them."))
    twice = [
        Detail(str(folders[0]), f"same class as {', '.join(p.name for p in folders[1:])}")
        for found in contents.surveys
        for folders in found.spellings
    ]
    text = "class has|classes have| several folders"
    findings.append(_finding("spelling", twice, "error", text, "Merge or rename the folders."))
    if contents.refused and not (empty or twice):
        findings.append(Finding("listing", "error", contents.refused))
    return findings


def _finding(name: str, items: list[Detail], status: Status, found: str, advice: str) -> Finding:
    """A finding of items; ``found`` has the words for one, for several, and for both."""
    if not items:
        return Finding(name, "ok", "none")
    one, several, rest = found.split("|", 2)
    counted = f"{len(items):,} {one if len(items) == 1 else several}{rest}"
    return Finding(name, status, counted, advice, items)


def _similar(name: str, others: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(others), n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else ""


def count_findings(contents: Contents, counts: Mapping[str, dict[str, int]]) -> list[Finding]:
    """Compare numbers of images with the published ones, and count instance pairs."""
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
        status: Status = "error" if complete and side == "unseen" else "warning"
        advice = "See classes: results on a part are not comparable with published ones."
        if complete:
            advice = "Unpack the archive again: results are not comparable with published ones."
        text = f"{text}; published: {', '.join(differs)}"
        findings.append(Finding(title, status, text, advice))
    pairs, sketches = counts["all"]["pairs"], counts["all"]["sketches"]
    if 2 * pairs < sketches:
        text = f"{pairs:,} of {sketches:,} sketches name a photo: category level only"
        return [*findings, Finding("pairs", "ok", text)]
    lost = [
        Detail(str(path), f"no photo {contents.data.instance_of(path, 'sketch')}")
        for name in contents.both
        for path in contents.lost(name)
    ]
    text = f"{pairs:,} of {sketches:,} sketches have their photo"
    if not lost:
        return [*findings, Finding("pairs", "ok", text)]
    advice = "Add the photos if you train on pairs; nothing at category level."
    return [*findings, Finding("pairs", "warning", text, advice, lost)]


def file_findings(surveys: Sequence[Survey], readings: Sequence[Reading] | None) -> list[Finding]:
    """Report files that are no images, cannot be read, or look wrong."""
    foreign = [Detail(str(path)) for found in surveys for path in found.foreign]
    zero = {path: "zero bytes" for found in surveys for path in found.zero}
    large = {path: f"above {LARGE_FILE >> 20} MiB" for found in surveys for path in found.large}
    bad = zero | {r.path: r.error for r in readings or () if r.error and r.path not in zero}
    odd = large | {r.path: r.oddity for r in readings or () if r.oddity}
    text = "file or folder is|files or folders are| among the images without being one"
    advice = "Nothing: they are left out. Move images in deeper folders up."
    findings = [_finding("other files", foreign, "warning", text, advice)]
    advice = "Unpack them again or remove them. --data.on_error skip works without them."
    findings.append(
        _finding("unreadable", _items(bad), "error", "image|images| cannot be read", advice)
    )
    text, advice = (
        "image is|images are| empty, tiny or huge",
        "Look at them; remove what is no sketch or photo.",
    )
    findings.append(_finding("unusual images", _items(odd), "warning", text, advice))
    if readings is None:
        for finding in findings[1:]:
            if finding.status == "ok":
                finding.status, finding.found = "skipped", _NOT_READ
    return findings


def _items(details: Mapping[Path, str]) -> list[Detail]:
    return [Detail(str(path), details[path]) for path in sorted(details)]


def copy_findings(contents: Contents, readings: Sequence[Reading] | None) -> list[Finding]:
    """Report images that exist more than once."""
    findings = []
    if contents.repeated:
        total = len(contents.repeated)
        text = f"{total:,} photos of Sketchy are among the extended ones too"
        advice = "Nothing: each counts once. --data.gallery zse_dup repeats them."
        findings.append(Finding("base photos", "ok", text, advice))
    if readings is None:
        return [*findings, Finding("copies", "skipped", _NOT_READ)]
    digests = {reading.path: reading.digest for reading in readings if reading.digest}
    within: list[Detail] = []
    across: list[Detail] = []
    leaks = 0
    unseen = set(contents.split.unseen) if contents.split else set()
    copies: dict[str, list[tuple[str, str, Path]]] = defaultdict(list)
    for side, listing in (("sketch", contents.sketches), ("photo", contents.photos)):
        for name, files in sorted(listing.items()):
            for path in files:
                if path in digests:
                    copies[digests[path]].append((side, name, path))
    for same in copies.values():
        first_side, first_name, first = same[0]
        for side, name, path in same[1:]:
            same_class = (side, name) == (first_side, first_name)
            (within if same_class else across).append(Detail(str(path), f"same content as {first}"))
            leaks += (name in unseen) != (first_name in unseen)
    settled = ""
    if contents.data.published:
        settled = "Nothing: results are published on the set as it is."
    leaked = f", {leaks:,} of them between test classes and others" if leaks else ""
    text = "image repeats|images repeat| another of the same class and side"
    advice = settled or "Remove them."
    findings.append(_finding("copies in a class", within, "warning", text, advice))
    text = f"image repeats|images repeat| one of another class or side{leaked}"
    advice = settled or "Decide where each belongs and remove the others."
    return [*findings, _finding("copies across", across, "warning", text, advice)]
