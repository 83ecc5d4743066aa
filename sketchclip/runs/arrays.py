"""Arrays of numbers in .npy and .npz files: read whole, or refused by the file's name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sketchclip.errors import SketchClipError, first_line

_INT64 = np.iinfo(np.int64)


def read_array(path: Path) -> np.ndarray:
    """Read the one array of a .npy file.

    Raises:
        SketchClipError: If it cannot be read, or holds Python objects, or several arrays.
    """
    found = _load(path, None)
    if not isinstance(found, np.ndarray):
        raise SketchClipError(f"{path}: expected one array (.npy), found an archive.")
    return found


def read_archive(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of a .npz file, all of each.

    Raises:
        SketchClipError: If it cannot be read, or lacks an array.
    """
    found = _load(path, names)
    if isinstance(found, np.ndarray):
        raise SketchClipError(f"{path}: expected an archive of arrays (.npz), found one array.")
    return found


def _load(path: Path, names: Sequence[str] | None) -> np.ndarray | dict[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            if names is None:
                return {}
            arrays = {name: archive[name] for name in names if name in archive.files}
            # What is no array, NumPy gives as bytes.
            found = {name: a for name, a in arrays.items() if isinstance(a, np.ndarray)}
            if len(found) == len(names):
                return found
            held = ", ".join({*archive.files} - (arrays.keys() - found.keys())) or "none"
    except Exception as error:  # nothing but NumPy's reading, which damage ends in many ways
        why = getattr(error, "strerror", None) or first_line(error)
        if "allow_pickle" in why:
            why = "it is no array, or one of Python objects"
        raise SketchClipError(
            f"Cannot read {path} ({why}). Expected numbers that numpy.save or numpy.savez wrote, "
            "in a file that is whole."
        ) from error
    raise SketchClipError(f"{path}: expected the arrays {', '.join(names)}, found {held}.")


def as_states(array: np.ndarray, path: Path) -> np.ndarray:
    """Embeddings (N, D) in fp32, from any real numbers in any byte order.

    Raises:
        SketchClipError: If they are no numbers, or one is NaN, infinite or too large for fp32.
    """
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise SketchClipError(
            f"{path}: expected real numbers (N, D), at least one row and column, found "
            f"{shape_of(array)}."
        )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        states = np.ascontiguousarray(array, dtype=np.float32)
        total = states.sum(dtype=np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        lost = np.flatnonzero((~states.any(axis=1)) & array.any(axis=1))
        if len(lost):
            raise SketchClipError(
                f"{path}: row {lost[0]} holds numbers too small for 32 bits alone. Scale the "
                "embeddings, for example to length 1."
            )
    if not np.isfinite(total):
        row = int(np.flatnonzero(~np.isfinite(states).all(axis=1))[0])
        large = np.isfinite(array[row]).all()
        what = "a number too large for 32 bits" if large else "NaN or infinity"
        raise SketchClipError(f"{path}: row {row} holds {what}. Expected finite numbers.")
    return states


def as_integers(
    array: np.ndarray, path: Path, count: int, what: str, low: int, below: int | None = None
) -> np.ndarray:
    """Whole numbers (N,) of 64 bits, from any integer type.

    Args:
        array: What the file holds.
        path: The file.
        count: Numbers expected.
        what: Their meaning, in the plural.
        low: Smallest number allowed.
        below: Number that they must be below; None for any.

    Raises:
        SketchClipError: If type or shape are others, or names the first row that is out of range.
    """
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise SketchClipError(f"{path}: expected {count} {what}, found {shape_of(array)}.")
    odd = np.flatnonzero((array < low) | (array >= (_INT64.max if below is None else below)))
    if len(odd):
        most = "" if below is None else f" to {below - 1}"
        raise SketchClipError(
            f"{path}: {array[odd[0]]} in row {odd[0]}, expected {what}, {low}{most or ' or more'}; "
            f"{len(odd)} of {count} are outside."
        )
    return array.astype(np.int64)


def shape_of(array: np.ndarray) -> str:
    """Type and shape in words."""
    return f"{array.dtype} of shape {array.shape}"
