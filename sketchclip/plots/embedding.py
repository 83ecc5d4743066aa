"""Map of the embeddings that ``sketchclip predict`` wrote: PCA, then t-SNE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.plots.style import COLOURS, LIGHT, caption, new_figure, shorten
from sketchclip.runs.arrays import as_states, read_archive
from sketchclip.runs.reading import Run

_DIMENSIONS = 50  # that PCA keeps for t-SNE
_MARKS = (("sketch", "^", 13), ("photo", "o", 11))


def plot_map(
    run: Run, points: int = 2000, perplexity: float = 30, seed: int = 0, named: Sequence[str] = ()
) -> Any:
    """Plot a random sample of the embeddings in two dimensions.

    Args:
        run: Run with embeddings.
        points: Number of images at most; t-SNE of all of a large test takes long.
        perplexity: Perplexity of t-SNE; less where there are few images.
        seed: Seed of the sample and of t-SNE.
        named: Classes in colour; by default the eight with the most images. Others are grey.

    Raises:
        SketchClipError: If a file is damaged, a class does not exist, or scikit-learn is missing.
    """
    assert run.embeddings is not None
    sides = [_load(run.embeddings, side) for side, _, _ in _MARKS]
    names = sides[0][2]
    states = np.concatenate([states for states, _, _ in sides])
    labels = np.concatenate([labels for _, labels, _ in sides])
    photo = np.repeat([0, 1], [len(side[0]) for side in sides])
    coloured = _coloured(named, labels, names)
    rng = np.random.default_rng(seed)
    # Classes in colour come first: few of their points would say little.
    order = np.lexsort((rng.random(len(labels)), ~np.isin(labels, coloured)))
    keep = np.sort(order[:points])
    states, labels, photo = states[keep], labels[keep], photo[keep]
    perplexity = min(perplexity, (len(keep) - 1) / 3)
    xy = _flattened(states, perplexity, seed)
    figure = new_figure(height=3.5)
    axes = figure.subplots()
    for side, (_, mark, size) in enumerate(_MARKS):
        rest = (photo == side) & ~np.isin(labels, coloured)
        options = {"marker": mark, "linewidths": 0.7, "s": size}
        axes.scatter(*xy[rest].T, **options, color=LIGHT if side else "none", edgecolors=LIGHT)
        for colour, label in zip(COLOURS, coloured, strict=False):
            shown = (photo == side) & (labels == label)
            face = colour if side else "none"
            axes.scatter(*xy[shown].T, **options, color=face, edgecolors=colour)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    _legend(figure, axes, [names[label] for label in coloured], len(np.unique(labels)))
    data, split = (run.settings.get(key) or "default" for key in ("data", "data.split"))
    seeds = f"t-SNE of {min(_DIMENSIONS, states.shape[1], len(keep))} principal components of unit "
    seeds += f"vectors, perplexity {perplexity:g}, seed {seed}"
    caption(
        figure,
        f"{run.name}: {run.settings.get('model', 'model')}, {data}, split {split}. {seeds}. "
        f"{(photo == 0).sum():,} of {len(sides[0][0]):,} sketches and {(photo == 1).sum():,} of "
        f"{len(sides[1][0]):,} photos. Distances between far groups mean little.",
    )
    return figure


def _load(folder: Path, side: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    files = sorted(folder.glob(f"{side}.npz")) or sorted(folder.glob(f"{side}.rank*.npz"))
    states, labels, index = [], [], []
    try:
        for file in files:
            arrays = read_archive(file, ("state", "label", "index", "class_names"))
            states.append(arrays["state"])
            labels.append(arrays["label"])
            index.append(arrays["index"])
            names = [str(name) for name in arrays["class_names"]]
        # Processes fill up their last batch with images of others.
        first = np.unique(np.concatenate(index), return_index=True)[1]
        state = np.concatenate(states)[first]
        state = as_states(state.reshape(len(state), -1), folder / f"{side}.npz")
        return state, np.concatenate(labels)[first], names
    except (ValueError, IndexError, TypeError) as error:
        if isinstance(error, SketchClipError):
            raise
        raise SketchClipError(
            f"{folder}: no embeddings of 'sketchclip predict' ({error})"
        ) from error


def _coloured(named: Sequence[str], labels: np.ndarray, names: Sequence[str]) -> list[int]:
    if unknown := [name for name in named if name not in names]:
        raise SketchClipError(f"--classes {unknown[0]}: expected some of {', '.join(names)}.")
    if len(named) > len(COLOURS):
        raise SketchClipError(f"--classes: at most {len(COLOURS)} can be told apart by colour.")
    if named:
        return [list(names).index(name) for name in named]
    count = np.bincount(labels, minlength=len(names))
    return sorted(int(i) for i in np.argsort(-count, kind="stable")[: len(COLOURS)] if count[i])


def _flattened(states: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise SketchClipError(
            "A map needs scikit-learn, which is not installed: pip install sketchclip[plot]"
        ) from error
    states = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    parts = PCA(min(_DIMENSIONS, *states.shape), random_state=seed).fit_transform(states)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return np.asarray(tsne.fit_transform(parts))


def _legend(figure: Any, axes: Any, names: Sequence[str], classes: int) -> None:
    from matplotlib.lines import Line2D

    def entry(mark: str, face: str, edge: str, label: str) -> Any:
        line: dict[str, Any] = {"linestyle": "", "markersize": 4.5, "markeredgewidth": 0.8}
        return Line2D([], [], marker=mark, mfc=face, mec=edge, label=label, **line)

    handles = [entry("^", "none", "#000000", "sketch"), entry("o", "#000000", "#000000", "photo")]
    handles += [entry("s", c, c, shorten(n, 22)) for c, n in zip(COLOURS, names, strict=False)]
    if classes > len(names):
        handles.append(entry("s", LIGHT, LIGHT, f"{classes - len(names)} other classes"))
    columns = 2 if max(map(len, names)) > 12 else 3
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1)
    figure.set_figheight(figure.get_figheight() + 0.15 * -(-len(handles) // columns))
