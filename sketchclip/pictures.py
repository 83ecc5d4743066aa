"""Pictures of a test: chosen sketches with their first photos, one model above another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sketchclip.errors import SketchClipError
from sketchclip.figures import Ranking, retrieval_grid
from sketchclip.rankings import Rankings, read_rankings
from sketchclip.results import METRICS, read_classes, read_results

Pick = Literal["best", "worst", "most_improved", "random"]
SAME = ("dataset", "split", "protocol", "queries", "gallery", "unseen_classes")
"""What two runs must share to be compared."""


def results_folder(run: Path) -> Path:
    """The folder with the results of a run, also of one that ``sketchclip ablate`` made."""
    return run / "test" if (run / "test" / METRICS).is_file() else run


def picture(
    run: Path,
    baseline: Path | None = None,
    pick: Pick = "random",
    count: int = 8,
    root: Path | None = None,
    seed: int = 0,
    labels: Sequence[str] = (),
) -> Image.Image:
    """Draw queries of a test with their first photos.

    Queries are chosen by average precision, or by the rank of the own photo where there is one; no
    two of a class while there are other classes.

    Args:
        run: Folder of the test.
        baseline: Test on the same queries, drawn below.
        pick: Which queries.
        count: Number of queries.
        root: Of the data, if it is elsewhere than when the test ran.
        seed: Of random choices, also among equals.
        labels: Names of run and baseline.

    Returns:
        RGB picture.

    Raises:
        SketchClipError: If results are missing or the runs are not on the same queries.
    """
    folders = [results_folder(path) for path in (run, baseline) if path is not None]
    told, queries, values = zip(*map(read_results, folders), strict=True)
    rankings = [read_rankings(folder) for folder in folders]
    if baseline is not None:
        _check_same(folders, told, queries)
    elif pick == "most_improved":
        raise SketchClipError("most_improved needs a run to compare with: --baseline RUN.")
    classes = read_classes(folders[0])
    scores, by = zip(*map(_scores, values), strict=True)
    chosen = choose(scores, classes, pick, count, seed)
    names = list(labels) or _names(told)
    rows = [
        (
            (root or rankings[0].root) / queries[0][at],
            classes[at],
            [
                _ranking(name, at, ranking, value, root or ranking.root)
                for name, ranking, value in zip(names, rankings, values, strict=True)
            ],
        )
        for at in chosen
    ]
    summary = told[0]
    title = f"{summary.get('dataset')}, {summary.get('split')}: {len(queries[0]):,} sketches of "
    title += f"{len(summary.get('unseen_classes', ()))} unseen classes, "
    title += f"{summary.get('gallery', 0):,} photos"
    instances = any((r.own >= 0).any() for r in rankings)
    legend = "Thick green frame: right class. Thin red frame: another class."
    if instances:
        legend += " Double blue frame: the photo that the sketch was drawn from."
    return retrieval_grid(title, rows, [_told_choice(pick, by[0], seed), legend])


def choose(
    scores: Sequence[np.ndarray], classes: Sequence[str], pick: Pick, count: int, seed: int
) -> list[int]:
    """Positions of queries; equals in random order, no two of a class while there are others.

    Args:
        scores: Higher is better, of the run and perhaps the baseline, each (Q,).
        classes: Class of each query.
        pick: Which.
        count: At most.
        seed: Of random choices.

    Returns:
        Positions, the most telling first.

    Example:
        >>> choose([np.array([.1, .9, .8])], ["cat", "dog", "dog"], "best", 2, 0)
        [1, 0]
    """
    rng = np.random.default_rng(seed)
    key = {
        "best": lambda: -scores[0],
        "worst": lambda: scores[0],
        "most_improved": lambda: scores[-1] - scores[0],
        "random": lambda: np.zeros(len(classes)),
    }[pick]()
    order = np.lexsort((rng.random(len(key)), np.nan_to_num(key, nan=np.inf)))
    first: dict[str, int] = {}
    for at in order:
        first.setdefault(classes[at], int(at))
    alone = set(first.values())
    return [*first.values(), *(int(at) for at in order if int(at) not in alone)][:count]


def _scores(values: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    if "rank_all" in values:
        return 1 / values["rank_all"], "rank of the own photo"
    return values["mAP@all"], "average precision"


def _ranking(
    name: str, at: int, rankings: Rankings, values: dict[str, np.ndarray], root: Path
) -> Ranking:
    shown = rankings.shown[at]
    note = f"AP {values['mAP@all'][at]:.2f}"
    if "rank_all" in values and not np.isnan(values["rank_all"][at]):
        note = f"own photo: rank {values['rank_all'][at]:.0f}"
    photos = [root / str(rankings.path[i]) for i in shown]
    own = [bool(i == rankings.own[at]) for i in shown]
    return Ranking(name, photos, [bool(hit) for hit in rankings.hit[at]], own, note)


def _names(told: Sequence[dict[str, Any]]) -> list[str]:
    names = [str(summary.get("method", "run")) for summary in told]
    return names if len(set(names)) == len(names) else ["run", "baseline"][: len(names)]


def _told_choice(pick: Pick, by: str, seed: int) -> str:
    spread = f"at most one a class while there are others, seed {seed}"
    if pick == "random":
        return f"Queries drawn at random, {spread}."
    wording = {"best": "highest", "worst": "lowest", "most_improved": "greatest gain over baseline"}
    if pick != "most_improved" and by.startswith("rank"):
        wording = {"best": "first", "worst": "last"}
    return f"Queries chosen by {by}: {wording[pick]}; {spread}."


def _check_same(
    folders: Sequence[Path], told: Sequence[dict[str, Any]], queries: Sequence[list[str]]
) -> None:
    for key in SAME:
        if told[0].get(key) != told[1].get(key):
            raise SketchClipError(
                f"The runs differ in {key} and cannot be compared: {told[0].get(key)!r:.200} in "
                f"{folders[0]}, {told[1].get(key)!r:.200} in {folders[1]}."
            )
    if queries[0] != queries[1]:
        raise SketchClipError(f"{folders[0]} and {folders[1]} are not on the same queries.")
