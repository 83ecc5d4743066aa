"""Bring an index in line with the photos on disk: add, change and remove what differs."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.images.decode import BITMAPS
from data_modules.progress import Progress
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.model import SearchModel
from sketchclip.search.embed_photos import STATE, Known, SeenPhoto, embedded, is_same
from sketchclip.search.engine import ENGINE, VectorEngine
from sketchclip.search.index import VERSION, PhotoIndex
from sketchclip.search.photos import FoundPhotos, find_photos


@dataclass
class UpdateSummary:
    """Counts of what an update has done.

    Attributes:
        place: Location of the index.
        photos: In the index now.
        added: New photos.
        changed: Photos whose content or class has changed.
        removed: Photos that are no longer there.
        kept: Photos that were as before.
        embedded: Number of added and changed photos that the model had to embed.
        skipped: Path and reason of the files that were passed over.
        seconds: Duration.
    """

    place: str
    photos: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    kept: int = 0
    embedded: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def index_photos(
    photos: Sequence[str | Path],
    model: SearchModel,
    place: str,
    drop: Sequence[str | Path] = (),
    verify: bool = False,
    readers: int = 4,
    commit_every: float = 15.0,
    progress: bool = True,
) -> UpdateSummary:
    """Index folders of photos, or bring an index up to date.

    An index of the same model is continued: what it holds already is not embedded again, whether
    the run before came to its end or was killed. A photo is unchanged if its size and time of
    change are; else its content decides. Content that is in the index under another name is not
    embedded again.

    Args:
        photos: Folders; those that are in the index already need not be named again.
        model: Embeds the photos.
        place: Folder or URI of the index.
        drop: Folders of the index to leave out from now on.
        verify: Read every file, rather than trust its size and time of change.
        readers: Threads that read files.
        commit_every: Seconds of work that a crash can cost.
        progress: Show how far it is, on stderr.

    Returns:
        What was done.

    Raises:
        SketchClipError: If a folder is not there, the index was made by another model, or another
            process is writing into it.
    """
    start = time.monotonic()
    engine = VectorEngine(place)
    roots, dropped = ([str(Path(p).expanduser().absolute()) for p in x] for x in (photos, drop))
    if not engine.exists():
        _find(roots, {})  # before anything is written, the lock included
    with engine.lock():
        if not engine.exists():
            engine.create(model.dim, _told(model), model.state_width)
        index = PhotoIndex(engine)
        index.check_model(model)
        about = index.about
        missing = sorted({*dropped} - {*about["roots"]})
        if missing:
            raise SketchClipError(
                f"{missing[0]} is no folder of the index {engine.place}. It has "
                f"{', '.join(about['roots']) or 'none'}."
            )
        roots = [r for r in dict.fromkeys([*about["roots"], *roots]) if r not in dropped]
        rows = engine.scan("photo", "path", *STATE)
        indexed = dict(zip(rows["photo"], rows["path"], strict=True))
        states = zip(*(rows[name] for name in STATE), strict=True)
        known = dict(zip(rows["photo"], states, strict=True))
        found = _find(roots, indexed)
        # A model that was moved is found at its new place from now on.
        engine.about = {**about, "source": model.source, "roots": roots, "complete": False}
        summary = UpdateSummary(engine.place, skipped=dict(found.skipped | found.unlisted))
        todo = [photo for photo in found.photos if verify or not is_same(photo, known)]
        summary.kept = len(found.photos) - len(todo)
        with Progress(len(todo), "index", show=progress and bool(todo)) as bar:
            for part in embedded(todo, model, engine, known, readers, commit_every, bar.step):
                _commit(engine, part, known, summary)
        gone = _gone(indexed, found, summary.skipped)
        engine.delete(gone)
        summary.removed = len(gone)
        # Nobody can be counting on an older version of an index that was never complete.
        engine.optimise(alone="finished" not in about and engine.folder is not None)
        done = {"complete": True, "finished": datetime.now(timezone.utc).isoformat("T", "seconds")}
        engine.about = {**engine.about, **done, "engine": f"{ENGINE} {version(ENGINE)}"}
        summary.photos = len(engine)
    summary.seconds = time.monotonic() - start
    return summary


def _told(model: SearchModel) -> dict[str, Any]:
    return {
        "version": VERSION,
        "model": model.about,
        "model_hash": model.model_hash,
        "source": model.source,
        "roots": [],
        "complete": False,
    }


def _find(roots: Sequence[str], indexed: Mapping[str, str]) -> FoundPhotos:
    """List the photos; an error where there are none, as on a disk that is not mounted."""
    if not roots:
        raise SketchClipError("No folder of photos is left. Name at least one.")
    found = find_photos([Path(root) for root in roots])
    for root in roots:
        inside = root.rstrip(os.sep) + os.sep
        if not any(photo.path.startswith(inside) for photo in found.photos):
            lost = sum(path.startswith(inside) for path in indexed.values())
            if lost:
                raise SketchClipError(
                    f"{root} holds no photo now, and {lost:,} of it are in the index. If its disk "
                    f"is not mounted, mount it; to remove them from the index use --drop {root}."
                )
    if not found.photos:
        endings = ", ".join(sorted(BITMAPS))
        skipped = [f"{path}: {reason}" for path, reason in found.skipped.items()]
        more = f" Skipped {len(skipped):,}, the first is {skipped[0]}." if skipped else ""
        raise SketchClipError(
            f"No photo under {', '.join(roots)}. Expected files of {endings}.{more}"
        )
    return found


def _gone(indexed: Mapping[str, str], found: FoundPhotos, skipped: Mapping[str, str]) -> list[str]:
    """Photos of the index that are not there any more, or that cannot be read any more."""
    there = {photo.id for photo in found.photos if photo.path not in skipped}
    # What lies in a folder that cannot be listed may still be there.
    unknown = tuple(path + os.sep for path in found.unlisted)
    return [id for id, path in indexed.items() if id not in there and not path.startswith(unknown)]


def _commit(
    engine: VectorEngine, part: Sequence[SeenPhoto], known: Known, summary: UpdateSummary
) -> None:
    """Write what differs from the index, in one transaction, and count it."""
    rows, vectors, states = [], [], []
    for item in part:
        photo, state = item.photo, known.get(item.photo.id)
        if item.error is not None or item.vector is None:
            summary.skipped[photo.path] = str(item.error)
        elif state == (photo.size, photo.mtime, photo.class_name, item.digest):
            summary.kept += 1  # verified
        else:
            rows.append(item.row)
            vectors.append(item.vector)
            if item.state is not None:
                states.append(item.state)
            summary.embedded += item.like is None
            if state is None:
                summary.added += 1
            elif state[2:] == (photo.class_name, item.digest):
                summary.kept += 1  # its time of change is all that differs
            else:
                summary.changed += 1
    if rows:
        engine.upsert(rows, np.stack(vectors), np.stack(states) if states else None)
