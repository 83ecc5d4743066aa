"""An index of photos to search in."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_modules.listing.names import canonical, shorten
from sketchclip.errors import SketchClipError
from sketchclip.search.engine import APPROXIMATE_FROM, VectorEngine

if TYPE_CHECKING:
    from sketchclip.pretrained.model import SearchModel
    from sketchclip.pretrained.state_score import StateScore

SHORTLIST = 1_000
"""Photos of a large index that a method's own score puts in order."""

SCORED_NUMBERS = 1 << 26
"""Numbers of states, 256 MB, that a query reads at most to score all photos."""

READ_NUMBERS = 1 << 24
"""Numbers of states, 64 MB, that are read and scored at a time."""

VERSION = 2
"""Format of the description that an index has of itself."""


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        rank: From 1; 0 for a photo that was asked for by its id.
        score: Higher is nearer: a cosine, a distance with a minus, or the method's own score; 1 for
            a photo that was asked for by its id.
        photo: Its id: 32 hexadecimal digits.
        path: The file, when it was indexed.
        class_name: Folder directly above; None for a photo that lies directly in a root.
        shortlist: Number of photos, those nearest by vector, that the method's own score put in
            order; 0 where all photos were compared with the query in the same way. Behind them
            photos have the score of their vectors.
    """

    rank: int
    score: float
    photo: str
    path: Path
    class_name: str | None
    shortlist: int = 0


class PhotoIndex:
    """Photos with their embeddings, as 'sketchclip index' made them.

    Changes that another process makes are seen a few seconds later.

    Args:
        engine: Where they are.

    Raises:
        SketchClipError: If there is no index at that place.
    """

    def __init__(self, engine: VectorEngine) -> None:
        if not engine.exists():
            raise SketchClipError(
                f"There is no index at {engine.place}. Make one with 'sketchclip index PHOTOS -o "
                f"{engine.place}'."
            )
        self.engine = engine
        version = self.about.get("version")
        if version != VERSION:
            raise SketchClipError(
                f"The index {engine.place} is of version {version}, and this sketchclip reads "
                f"version {VERSION}. Make the index again."
            )

    @classmethod
    def open(cls, name: str) -> "PhotoIndex":
        """Open an index to search in it.

        Args:
            name: Folder, or URI.

        Returns:
            The index; while it is being made, with the photos that are there so far.

        Raises:
            SketchClipError: If there is none.
        """
        return cls(VectorEngine(name))

    @property
    def about(self) -> dict[str, Any]:
        """Description of the index: its model and photos.

        ``model`` (name, method, backbone, preprocessing, results), ``model_hash`` and ``source``
        of the model (how ``sketchclip.from_pretrained`` loads it again), ``roots``, ``complete``
        (whether the last run came to its end), ``finished`` (when one last did, in UTC),
        ``engine`` and ``version``.
        """
        return self.engine.about

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return self.engine.classes()

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.engine)

    def search(
        self,
        vector: np.ndarray,
        k: int = 20,
        class_name: str | None = None,
        rescore: "StateScore | None" = None,
    ) -> list[Hit]:
        """Find the photos nearest to a query.

        Files with equal content are one photo here: one of them is shown.

        Args:
            vector: Embedding of the query, (dim,), by the model of the index.
            k: Number of photos.
            class_name: Search in this class alone.
            rescore: Score of the model's query in place of a similarity of vectors. Those nearest
                by vector are scored, as many as the model's ``shortlist``, and the others follow in
                the order of their vectors, as in evaluation. Of a model without one all photos are
                scored where there are fewer than ``APPROXIMATE_FROM`` with ``SCORED_NUMBERS``
                numbers at most; else those nearest by vector, ``SHORTLIST`` at least. Hits say so.

        Returns:
            At most k photos, best first.

        Raises:
            SketchClipError: If the vector does not fit, or there is no such class.
        """
        width, length = self.engine.width, float(np.linalg.norm(vector))
        if vector.shape != (width,) or not np.isfinite(length) or length == 0:
            raise SketchClipError(
                f"Expected a query of {width} finite numbers that are not all 0, found shape "
                f"{vector.shape}, length {length}. Embed it with the model of the index."
            )
        if k < 1:
            raise SketchClipError(f"Expected at least one photo, found k = {k}.")
        if self.engine.compares_directions:
            vector = vector / length
        if rescore is None:
            found, shortlist = self._nearest(vector, k, class_name), 0
        else:
            found, shortlist = self._scored(vector, k, class_name, rescore)
        if not found and class_name is not None and class_name not in self.classes:
            raise SketchClipError(
                f"The index has no class '{class_name}'. {self._like(class_name)}"
            )
        # A sum of a few hundred products is off by less than this in fp32.
        most = 1.001 if self.engine.compares_directions and rescore is None else np.inf
        odd = [r for r in found[:k] if not (np.isfinite(r["score"]) and abs(r["score"]) <= most)]
        if odd:
            raise SketchClipError(
                f"The index {self.engine.place} is damaged: its vector of {odd[0]['path']} gives "
                f"the score {odd[0]['score']}. Make the index again."
            )
        return [_hit(row, rank, shortlist) for rank, row in enumerate(found[:k], 1)]

    def _like(self, class_name: str) -> str:
        near = get_close_matches(canonical(class_name), self.classes, cutoff=0.75)
        if near:
            return f"Nearest: {', '.join(near)}."
        return f"It has {len(self.classes):,} classes ({shorten(self.classes)})."

    def _nearest(self, vector: np.ndarray, k: int, class_name: str | None) -> list[dict[str, Any]]:
        """Rows of the k photos nearest by vector, each content once."""
        asked = k
        while True:
            rows = self.engine.search(vector, asked, class_name)
            first = _each_content_once(rows)
            if len(first) >= k or len(rows) < asked:
                return first[:k]
            asked *= 2  # equal files took places

    def _scored(
        self, vector: np.ndarray, k: int, class_name: str | None, rescore: "StateScore"
    ) -> tuple[list[dict[str, Any]], int]:
        """Rows in the order of a score of states, and the number of a shortlist, 0 for none."""
        count, wanted = self.engine.count(class_name), rescore.shortlist or 0
        few = count < APPROXIMATE_FROM and count * self.engine.state_width <= SCORED_NUMBERS
        if not wanted and few:
            rows, states = self.engine.states(class_name)
            scored = zip(rows, rescore(states).tolist(), strict=True) if rows else ()
            return _each_content_once([{**row, "score": s} for row, s in scored]), 0
        wanted = wanted or max(k, SHORTLIST)
        near = self._nearest(vector, max(k, wanted), class_name)
        first, rest = near[:wanted], near[wanted:]
        ranked = self._ordered(first, rescore)
        all_scored = rescore.shortlist and count <= wanted
        return [*ranked, *rest], 0 if all_scored else len(first)

    def _ordered(self, near: list[dict[str, Any]], rescore: "StateScore") -> list[dict[str, Any]]:
        """Rows, nearest by vector first, in the order of a score; equal scores keep theirs."""
        scores: dict[str, float] = {}
        step = max(1, READ_NUMBERS // max(1, self.engine.state_width))
        for start in range(0, len(near), step):
            rows, states = self.engine.states(
                photos=[r["photo"] for r in near[start : start + step]]
            )
            names = [row["photo"] for row in rows]
            scores |= zip(names, rescore(states).tolist(), strict=True) if names else ()
        found = [{**row, "score": scores[row["photo"]]} for row in near if row["photo"] in scores]
        return sorted(found, key=lambda row: -row["score"])

    def hit(self, photo: str) -> Hit:
        """An indexed photo by its id.

        Raises:
            SketchClipError: If the index has no such photo.
        """
        return _hit(self._row(photo))

    def vector(self, photo: str) -> np.ndarray:
        """Embedding of an indexed photo: fp32, shape (dim,); see :meth:`hit`."""
        return np.array(self._row(photo, vectors=True)["vector"], np.float32)

    def load_model(self, model: str | None = None, device: str = "auto") -> "SearchModel":
        """Load the model that the photos were embedded with.

        Args:
            model: Where it is now, if it was moved; see
                :func:`~sketchclip.pretrained.model.load_model`.
            device: Where it computes.

        Raises:
            SketchClipError: If it is not there, or is another model.
        """
        from sketchclip.pretrained.model import FROZEN, load_model

        source = self.about["source"]
        try:
            loaded = load_model(**{**source, **({"model": model} if model else {})}, device=device)
        except SketchClipError as error:
            if model or source["model"] == FROZEN:
                raise
            raise SketchClipError(
                f"The model of the index {self.engine.place} does not load: {error} If it was "
                "moved, name its place with 'sketchclip search --model', or for good with "
                f"'sketchclip index -o {self.engine.place} --update --model'."
            ) from error
        self.check_model(loaded)
        return loaded

    def check_model(self, model: "SearchModel") -> None:
        """Check that a model is the one that the photos were embedded with.

        Raises:
            SketchClipError: If it is another, or has other weights or settings.
        """
        about = self.about
        if model.model_hash != about["model_hash"]:
            raise SketchClipError(
                f"The photos of {self.engine.place} were embedded by {about['model']['name']} "
                f"({about['model_hash']}), and this is {model.name} ({model.model_hash}). "
                "Embeddings of two models cannot be compared: use that model, or make another "
                "index with -o."
            )

    def _row(self, photo: str, vectors: bool = False) -> dict[str, Any]:
        rows = self.engine.get([photo], vectors)
        if not rows:
            raise SketchClipError(f"The index {self.engine.place} has no photo '{photo:.64}'.")
        return rows[0]


def _each_content_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by their score, best first; of files with equal content the first by name."""
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (-row["score"], row["path"])):
        first.setdefault(row["digest"], row)
    return [*first.values()]


def _hit(row: dict[str, Any], rank: int = 0, shortlist: int = 0) -> Hit:
    score = row.get("score", 1.0)
    return Hit(rank, score, row["photo"], Path(row["path"]), row["class_name"], shortlist)
