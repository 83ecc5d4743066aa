"""Pictures of a test: chosen sketches with their first photos, one model above another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchclip.errors import SketchClipError
from sketchclip.plots.choice import Pick, choose
from sketchclip.plots.retrieval_grid import Ranking, retrieval_grid
from sketchclip.runs.rankings import Rankings, read_rankings
from sketchclip.runs.results import (
    METRICS_FILE,
    QUERIES,
    check_same_queries,
    read_classes,
    read_results,
)


def results_folder(run: Path) -> Path:
    """Find the folder with the results of a run, including a run of ``sketchclip ablate``."""
    return run / "test" if (run / "test" / METRICS_FILE).is_file() else run


def picture(
    run: Path,
    baseline: Path | None = None,
    pick: Pick = "random",
    count: int = 8,
    root: Path | None = None,
    seed: int = 0,
    labels: Sequence[str] = (),
) -> Image.Image:
    """Plot queries of a test with their first photos.

    Queries are chosen by average precision, or by the rank of the paired photo if there is one; no
    two of a class while there are other classes.

    Args:
        run: Folder of the test.
        baseline: Test on the same queries, shown below.
        pick: Kind of queries.
        count: Number of queries.
        root: Folder of the data, if it was moved since the test.
        seed: Seed of random choices, also among ties.
        labels: Names of run and baseline.

    Raises:
        SketchClipError: If results are missing or the runs are not on the same queries.
    """
    folders = [results_folder(path) for path in (run, baseline) if path is not None]
    summaries, queries, values = zip(*map(read_results, folders), strict=True)
    rankings = [read_rankings(f, len(q)) for f, q in zip(folders, queries, strict=True)]
    if baseline is not None:
        check_same_queries(folders, summaries, queries)
    elif pick == "most_improved":
        raise SketchClipError("most_improved needs a run to compare with: --baseline RUN.")
    classes = read_classes(folders[0])
    scores, by = zip(*map(_scores, folders, values), strict=True)
    chosen = choose(scores, classes, pick, count, seed)
    names = list(labels) or (_names(summaries) if baseline is not None else [""])
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
    about = summaries[0]
    title = "" if any(names) else f"{about.get('method', 'run')}, "
    title += f"{about.get('dataset')}, split {about.get('split')}: {len(queries[0]):,} sketches of "
    title += f"{len(about.get('unseen_classes', ()))} unseen classes, "
    title += f"{about.get('gallery', 0):,} photos"
    instances = any((r.own >= 0).any() for r in rankings)
    legend = "Thick green frame: right class. Thin red frame: another class."
    if instances:
        legend += " Double blue frame: the photo that the sketch was drawn from."
    return retrieval_grid(title, rows, [_choice_note(pick, by[0], seed), legend])


def _scores(folder: Path, values: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    if "mAP@all" not in values:
        raise SketchClipError(f"{folder / QUERIES}: expected a column mAP@all: test again.")
    if "rank_all" in values:
        return 1 / values["rank_all"], "rank of the paired photo"
    return values["mAP@all"], "average precision"


def _ranking(
    name: str, at: int, rankings: Rankings, values: dict[str, np.ndarray], root: Path
) -> Ranking:
    shown = rankings.shown[at]
    note = f"AP {values['mAP@all'][at]:.2f}"
    if "rank_all" in values and not np.isnan(values["rank_all"][at]):
        note = f"paired photo: rank {values['rank_all'][at]:.0f}"
    photos = [root / str(rankings.path[i]) for i in shown]
    paired = [bool(i == rankings.own[at]) for i in shown]
    return Ranking(name, photos, [bool(hit) for hit in rankings.hit[at]], paired, note)


def _names(summaries: Sequence[dict[str, Any]]) -> list[str]:
    names = [str(summary.get("method", "run")) for summary in summaries]
    return names if len(set(names)) == len(names) else ["run", "baseline"][: len(names)]


def _choice_note(pick: Pick, by: str, seed: int) -> str:
    spread = f"at most one a class while there are others, seed {seed}"
    if pick == "random":
        return f"Queries sampled at random, {spread}."
    wording = {"best": "highest", "worst": "lowest", "most_improved": "greatest gain over baseline"}
    if pick != "most_improved" and by.startswith("rank"):
        wording = {"best": "first", "worst": "last"}
    return f"Queries chosen by {by}: {wording[pick]}; {spread}."
