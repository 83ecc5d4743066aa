"""Vectors of photos, and what is known of the photos, in LanceDB.

The only file that knows the engine. A place is a folder, or a URI that LanceDB connects to
(``s3://``, ``gs://``, ``az://``, ``db://``); nothing else here depends on which it is. Every change
is one transaction: after a crash it has happened or it has not.
"""

import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sketchclip.errors import SketchClipError, first_line
from sketchclip.search.columns import COLUMNS, numbers, photo_schema, photo_table
from sketchclip.search.location import LOCK, UNREADABLE, check_folder, is_uri, lock

ENGINE = "lancedb"
APPROXIMATE_FROM = 20_000
"""Photos from which on search is by an index of neighbours; with fewer, exact search is fast."""

_PHOTOS, _ABOUT = "photos", "about"
_OURS = {f"{_PHOTOS}.lance", f"{_ABOUT}.lance", LOCK, UNREADABLE}
_REFRESH = timedelta(seconds=2)
# Readers notice changes after _REFRESH, so nobody needs versions that are older than this.
_KEEP = timedelta(minutes=10)
# Measured at a million vectors, see docs/search.md.
_PROBES, _REFINE, _BITS = 20, 10, 512
_NUMBER = re.compile(r"\(os error (\d+)\)")
# LanceDB's errors end with the line of its own code that raised them.
_SOURCE = re.compile(r",?\s*/\S+\.rs:\d+:\d+")


class VectorEngine:
    """Photos with their vectors, at one place.

    Args:
        place: Folder or URI.

    Raises:
        SketchClipError: If the folder is something else.
    """

    def __init__(self, place: str) -> None:
        self.place = place if is_uri(place) else str(Path(place).expanduser())
        self.folder = None if is_uri(place) else Path(self.place)
        if self.folder is not None:
            check_folder(self.folder, _OURS)
        self._tables: dict[str, Any] = {}

    @cached_property
    def _database(self) -> Any:
        """Connected when it is needed, as LanceDB makes a folder that is not there."""
        os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every table that it makes
        try:
            import lancedb
        except ImportError as error:
            raise SketchClipError(
                "Search needs LanceDB: pip install 'sketchclip[search]'."
            ) from error
        return lancedb.connect(self.place, read_consistency_interval=_REFRESH)

    def exists(self) -> bool:
        """Whether an index was made here; it may be incomplete."""
        # A table without a version: a process was stopped, or the disk full, as it was made.
        if self.folder and not any(self.folder.glob(f"{_ABOUT}.lance/_versions/*.manifest")):
            return False
        with self._told("list"):
            return _ABOUT in self._database.list_tables().tables and bool(self.about)

    def create(self, width: int, about: dict[str, Any], state_width: int = 0) -> None:
        """Make an empty index.

        Args:
            width: Width of the vectors.
            about: What :attr:`about` then gives.
            state_width: Width of the states, where a score of the method's own compares them.
        """
        try:
            with self._told("write to"):
                make = self._database.create_table
                schema = photo_schema(width, state_width)
                self._tables[_PHOTOS] = make(_PHOTOS, schema=schema, mode="overwrite")
                # Comes last: without it the rest does not count as an index.
                self._tables[_ABOUT] = make(_ABOUT, [_told_row(about)], mode="overwrite")
        except Exception:
            for name in (_PHOTOS, _ABOUT) if self.folder else ():
                shutil.rmtree(f"{self.place}/{name}.lance", ignore_errors=True)
            raise

    @property
    def about(self) -> dict[str, Any]:
        """Description of the index as a whole, as JSON holds it."""
        with self._told("read"):
            values = self._table(_ABOUT).search().limit(1).to_list()
            return dict(json.loads(values[0]["value"])) if values else {}

    @about.setter
    def about(self, value: dict[str, Any]) -> None:
        with self._told("write to"):
            _merge(self._table(_ABOUT), "key", [_told_row(value)])

    def __len__(self) -> int:
        """Number of photos."""
        return self.count()

    def count(self, class_name: str | None = None) -> int:
        """Number of photos, or of those of a class."""
        chosen = None if class_name is None else _is_one_of("class_name", [class_name])
        with self._told("read"):
            return int(self._table(_PHOTOS).count_rows(chosen))

    @cached_property
    def _distance(self) -> Literal["dot", "l2"]:
        """Distance in LanceDB's words: of unit vectors the inner product, of others Euclid's."""
        return "dot" if self.compares_directions else "l2"

    @property
    def compares_directions(self) -> bool:
        """Whether the length of a vector does not matter."""
        return self._similarity == "cosine"

    @cached_property
    def _similarity(self) -> str:
        return str(self.about.get("model", {}).get("similarity", "cosine"))

    @property
    def width(self) -> int:
        """Number of components of a vector."""
        with self._told("read"):
            return int(self._table(_PHOTOS).schema.field("vector").type.list_size)

    @cached_property
    def state_width(self) -> int:
        """Number of components of a state; 0 where vectors alone are compared."""
        with self._told("read"):
            schema = self._table(_PHOTOS).schema
            return schema.field("state").type.list_size if "state" in schema.names else 0

    def lock(self) -> AbstractContextManager[None]:
        """Keep a second process from writing; see :func:`~sketchclip.search.location.lock`."""
        return lock(self.place)

    def upsert(
        self,
        rows: Sequence[dict[str, Any]],
        vectors: np.ndarray,
        states: np.ndarray | None = None,
    ) -> None:
        """Add photos, or replace those of the same id, in one transaction.

        Args:
            rows: With the keys of ``COLUMNS``.
            vectors: fp32, shape (N, width).
            states: fp32, shape (N, state_width); None where there are none.
        """
        with self._told("write to"):
            _merge(self._table(_PHOTOS), "photo", photo_table(rows, vectors, states))

    def delete(self, photos: Sequence[str]) -> None:
        """Remove photos by id."""
        with self._told("write to"):
            for start in range(0, len(photos), 1000):
                self._table(_PHOTOS).delete(_is_one_of("photo", photos[start : start + 1000]))

    def scan(self, *columns: str) -> dict[str, list[Any]]:
        """Columns of all photos, in no particular order."""
        with self._told("read"):
            found = self._table(_PHOTOS).search().select(list(columns)).to_arrow()
            return {name: found[name].to_pylist() for name in columns}

    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        with self._told("read"):
            found = self._table(_PHOTOS).search().select(["class_name"]).to_arrow()
            return sorted(name for name in found["class_name"].unique().to_pylist() if name)

    def get(self, photos: Sequence[str], vectors: bool = False) -> list[dict[str, Any]]:
        """Rows by id, in no particular order; those that are not there are left out."""
        kept = ["vector", *(["state"] if self.state_width else [])]
        wanted = [*COLUMNS, *(kept if vectors else [])]
        with self._told("read"):
            query = self._table(_PHOTOS).search().where(_is_one_of("photo", photos))
            return list(query.select(wanted).limit(len(photos)).to_list())

    def states(
        self, class_name: str | None = None, photos: Sequence[str] | None = None
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Rows and states, fp32 (N, state_width), of all photos, of a class, or of those of ids."""
        chosen = None if class_name is None else _is_one_of("class_name", [class_name])
        if photos is not None:
            chosen = _is_one_of("photo", photos)
        with self._told("read"):
            query = self._table(_PHOTOS).search()
            query = query if chosen is None else query.where(chosen)
            found = query.select([*COLUMNS, "state"]).limit(max(1, len(self))).to_arrow()
            return found.select(list(COLUMNS)).to_pylist(), numbers(found["state"])

    def search(
        self, vector: np.ndarray, k: int, class_name: str | None = None
    ) -> list[dict[str, Any]]:
        """Nearest photos by the similarity of the model that embedded them.

        Args:
            vector: fp32, shape (width,), as the model embeds queries.
            k: Number of photos.
            class_name: Search among this class alone, exactly.

        Returns:
            Rows with a ``score`` each, best first; fewer than k if there are not more. The score
            is a cosine, or a distance (Euclidean, differing bits) with a minus.
        """
        with self._told("search"):
            query = self._table(_PHOTOS).search(vector.astype(np.float32), "vector")
            query = query.distance_type(self._distance).nprobes(_PROBES)
            query = query.refine_factor(_REFINE)
            if class_name is not None:
                # The neighbours' index may hold too few of a rare class near the query.
                query = query.bypass_vector_index().where(_is_one_of("class_name", [class_name]))
            rows = query.limit(k).select([*COLUMNS, "_distance"]).to_list()
        return [{**row, "score": self._score(row.pop("_distance"))} for row in rows]

    def _score(self, distance: float) -> float:
        if self._similarity == "cosine":
            return 1.0 - distance
        return -distance / 4 if self._similarity == "hamming" else -math.sqrt(max(0.0, distance))

    def optimise(self, alone: bool = False) -> None:
        """Join the parts that batches have left, and index what is large enough.

        Args:
            alone: Whether nobody else can be reading, so that nothing old need be kept.
        """
        from lancedb.index import Bitmap, BTree, IvfRq

        table, count = self._table(_PHOTOS), len(self)
        with self._told("optimise"):
            keep = timedelta(0) if alone else _KEEP
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of keeping nothing: nobody else is reading
                table.optimize(cleanup_older_than=keep, delete_unverified=alone)
            if count < APPROXIMATE_FROM:
                return
            there = {index.columns[0]: index.name for index in table.list_indices()}
            for column, config in (("photo", BTree()), ("class_name", Bitmap())):
                if column not in there:
                    table.create_index(column, config=config)
            if self.width % 8:
                return  # codes are of whole bytes; such a width is searched exactly
            stats = table.index_stats(there["vector"]) if "vector" in there else None
            if stats is None or stats.num_unindexed_rows > stats.num_indexed_rows:
                bits = max(1, min(4, _BITS // self.width))
                table.create_index(
                    "vector", config=IvfRq(distance_type=self._distance, num_bits=bits)
                )

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            self._tables[name] = self._database.open_table(name)
        return self._tables[name]

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Errors of the engine as one message."""
        try:
            yield
        except SketchClipError:
            raise
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and its own
            if number := _NUMBER.search(str(error)):  # such as a full disk
                raise OSError(code := int(number[1]), os.strerror(code), self.place) from error
            raise SketchClipError(
                f"Cannot {doing} the index {self.place}: {_SOURCE.sub('', first_line(error))}. "
                "Check that it can be reached and written to; if it is damaged, make the index "
                "again."
            ) from error


def _told_row(about: dict[str, Any]) -> dict[str, str]:
    return {"key": _ABOUT, "value": json.dumps(about)}


def _merge(table: Any, key: str, rows: Any) -> None:
    merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
    merge.execute(rows)


def _is_one_of(column: str, values: Sequence[str]) -> str:
    """A condition in SQL, values quoted."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
