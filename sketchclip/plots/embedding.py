"""Map of the embeddings that ``sketchclip predict`` wrote: PCA, then t-SNE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.plots.style import GREY, LIGHT, caption, look, new_figure, shorten
from sketchclip.runs.arrays import as_states, read_archive
from sketchclip.runs.reading import Run
from sketchclip.semantics.class_names import spoken

_DIMENSIONS = 50  # that PCA keeps for t-SNE
_SIDES = ("sketch", "photo")
_SIZES = {"P": 32, "*": 48, "X": 32}  # of markers that are smaller than others of their size
_SHOWN, _MOST = 8, 12  # classes in colour by default and at most


def plot_map(
    run: Run, points: int = 2000, perplexity: float = 30, seed: int = 0, named: Sequence[str] = ()
) -> Any:
    """Plot a random sample of the embeddings in two dimensions.

    Each class has a colour and a marker, open for sketches and filled for photos.

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
    sides = [_load(run.embeddings, side) for side in _SIDES]
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
    layers = [(None, LIGHT, "o"), *((label, *look(n)) for n, label in enumerate(coloured))]
    for label, colour, mark in layers:
        of_class = ~np.isin(labels, coloured) if label is None else labels == label
        sketches, photos = (xy[of_class & (photo == side)].T for side in (0, 1))
        options = {"marker": mark, "linewidths": 0.7, "zorder": 1 if label is None else 2}
        axes.scatter(*sketches, s=11, color="none", edgecolors=colour, **options)
        if label is None:
            axes.scatter(*photos, s=11, color=colour, **options)
        else:  # few, and what the sketches should be near: on top, with an edge
            options |= {"zorder": 3, "edgecolors": "#222222", "s": _SIZES.get(mark, 22)}
            axes.scatter(*photos, color=colour, **options)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    _legend(figure, [names[label] for label in coloured], len(np.unique(labels)))
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
    known = {spoken(name): label for label, name in enumerate(names)}
    known |= {name: label for label, name in enumerate(names)}
    wanted = [name if name in known else spoken(name) for name in named]  # written either way
    if unknown := [name for name in wanted if name not in known]:
        raise SketchClipError(f"--classes {unknown[0]}: expected some of {', '.join(names)}.")
    if len(named) > _MOST:
        raise SketchClipError(f"--classes: at most {_MOST} can be told apart, found {len(named)}.")
    if named:
        return list(dict.fromkeys(known[name] for name in wanted))
    count = np.bincount(labels, minlength=len(names))
    return sorted(int(i) for i in np.argsort(-count, kind="stable")[:_SHOWN] if count[i])


def _flattened(states: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise SketchClipError(
            "A map needs scikit-learn, which is not installed: pip install 'sketchclip[plot]'"
        ) from error
    states = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    parts = PCA(min(_DIMENSIONS, *states.shape), random_state=seed).fit_transform(states)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return np.asarray(tsne.fit_transform(parts))


def _legend(figure: Any, names: Sequence[str], classes: int) -> None:
    """Write the legend in columns as wide as the names need, above the map."""
    from matplotlib.lines import Line2D

    def entry(number: int | None, filled: bool, label: str) -> Any:
        colour, mark = (GREY, "o") if number is None else look(number)
        face = colour if filled else "none"
        line: dict[str, Any] = {"linestyle": "", "markersize": 4, "markeredgewidth": 0.7}
        return Line2D([], [], marker=mark, mfc=face, mec=colour, label=label, **line)

    handles = [entry(None, False, "open: sketch"), entry(None, True, "filled: photo")]
    shown = [shorten(spoken(name), 24) for name in names]
    handles += [entry(number, True, name) for number, name in enumerate(shown)]
    if classes > len(names):
        handles.append(entry(None, True, f"{classes - len(names)} other classes"))
        handles[-1].set(markerfacecolor=LIGHT, markeredgecolor=LIGHT)
    columns = 2 if max(map(len, shown), default=0) > 15 else 3
    space = {"columnspacing": 0.9, "handletextpad": 0.1, "handlelength": 1.2, "labelspacing": 0.3}
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, **space)
    figure.set_figheight(figure.get_figheight() + 0.13 * -(-len(handles) // columns))
