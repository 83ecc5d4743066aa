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
from sketchclip.semantics.class_names import spoken


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
    note: str = "",
) -> Image.Image:
    """Plot queries of a test with their first photos, and the mean over all queries above.

    Queries are chosen by average precision, or by the rank of the paired photo if there is one; no
    two of a class while there are other classes.

    Args:
        run: Folder of the test.
        baseline: Test on the same queries, shown above.
        pick: Kind of queries.
        count: Number of queries.
        root: Folder of the data, if it was moved since the test.
        seed: Seed of random choices, also among ties.
        labels: Names of run and baseline.
        note: Text for below the picture, beside how queries were chosen.

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
    roots = [root or ranking.root for ranking in rankings]
    rows = [
        (
            roots[0] / queries[0][at],
            spoken(classes[at]),
            [
                _ranking(names[i], at, rankings[i], values[i:], roots[i])
                for i in reversed(range(len(folders)))  # what was there before comes first
            ],
        )
        for at in chosen
    ]
    about = summaries[0]
    title = "" if any(names) else f"{about.get('method', 'run')}, "
    title += f"{about.get('dataset')}, split {about.get('split')}: {len(queries[0]):,} sketches of "
    title += f"{len(about.get('unseen_classes', ()))} unseen classes, "
    title += f"{about.get('gallery', 0):,} photos"
    legend = "Thick frame with a tick: right class. Thin frame: another class."
    if any((r.own >= 0).any() for r in rankings):
        legend += " Double frame: the photo that the sketch was drawn from; its rank is that "
        legend += "in the whole gallery."
    footer = [_choice_note(pick, by[0], seed, len(chosen), baseline is not None), legend, note]
    return retrieval_grid(title, rows, footer, _means(names, values, scores))


def _scores(folder: Path, values: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    if "mAP@all" not in values:
        raise SketchClipError(f"{folder / QUERIES}: expected a column mAP@all: test again.")
    if "rank_all" in values:
        return 1 / values["rank_all"], "rank of the paired photo"
    return values["mAP@all"], "average precision"


def _ranking(
    name: str, at: int, rankings: Rankings, values: Sequence[dict[str, np.ndarray]], root: Path
) -> Ranking:
    """Photos of a query, with its score and the gain over the values that follow, if any do."""
    shown = rankings.shown[at]
    scores = [value["mAP@all"][at] for value in values]
    note = f"AP {scores[0]:.2f}"
    if scores[1:]:
        gain = f"{scores[0] - scores[1]:+.2f}"
        note += f" (±{gain[1:]})" if float(gain) == 0 else f" ({gain})"
    if "rank_all" in values[0] and not np.isnan(values[0]["rank_all"][at]):
        note = f"paired photo: rank {values[0]['rank_all'][at]:.0f}"
    photos = [root / str(rankings.path[i]) for i in shown]
    paired = [bool(i == rankings.own[at]) for i in shown]
    return Ranking(name, photos, [bool(hit) for hit in rankings.hit[at]], paired, note)


def _means(
    names: Sequence[str],
    values: Sequence[dict[str, np.ndarray]],
    scores: Sequence[np.ndarray],
) -> str:
    """Mean over all queries of each run, baseline first, and how many queries gain and lose."""
    metric = "Acc@1" if "Acc@1" in values[0] else "mAP@all"
    means = [float(np.nanmean(value[metric])) for value in values]
    if len(means) == 1:
        return f"{metric} {means[0]:.3f} over all sketches."
    gains = scores[0] - scores[1]
    gains = gains[~np.isnan(gains)]
    more, less = (f"{100 * np.mean(sign * gains > 0):.0f} %" for sign in (1, -1))
    return (
        f"{metric} over all sketches: {names[1]} {means[1]:.3f}, {names[0]} {means[0]:.3f} "
        f"({means[0] - means[1]:+.3f}). {more} of the sketches gain, {less} lose."
    )


def _names(summaries: Sequence[dict[str, Any]]) -> list[str]:
    names = [str(summary.get("method", "run")) for summary in summaries]
    return names if len(set(names)) == len(names) else ["run", "baseline"][: len(names)]


def _choice_note(pick: Pick, by: str, seed: int, count: int, compared: bool) -> str:
    spread = f"at most one a class while there are others, seed {seed}"
    if pick == "random":
        return f"Queries sampled at random, {spread}."
    if pick == "quantiles":
        order = "the greatest gain" if compared else "the best"
        return (
            f"Queries chosen by {by}: all are sorted from {order} down and cut into {count} equal "
            f"parts, of which the middle ones are shown, or the nearest to them; {spread}."
        )
    wording = {"best": "highest", "worst": "lowest", "most_improved": "greatest gain over baseline"}
    if pick != "most_improved" and by.startswith("rank"):
        wording = {"best": "first", "worst": "last"}
    return f"Queries chosen by {by}: {wording[pick]}; {spread}."
