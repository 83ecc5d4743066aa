"""Word vectors from a text file in the format of word2vec, GloVe and fastText."""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from rich.progress import open as open_with_progress
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.semantics.class_names import spoken

PACKAGED = Path(str(files("sketchclip"))) / "assets" / "word_vectors.txt"
"""Vectors of the words in the class names of the bundled benchmarks."""


def vector_size(path: Path) -> int:
    """Numbers of each vector in a file, by its first line."""
    try:
        with path.open(encoding="utf-8") as file:
            fields = file.readline().split()
            fields = file.readline().split() if len(fields) == 2 else fields
            if len(fields) < 2:
                raise ValueError("no vector in the first two lines")
            return len(np.array(fields[1:], dtype=np.float32))
    except (OSError, ValueError) as error:
        raise SketchClipError(
            f"text_head.path={path}: expected a UTF-8 text file of word vectors, a word and its "
            f"numbers in each line, as GloVe has it ({type(error).__name__}: {error})."
        ) from error


def class_vectors(path: Path, class_names: Sequence[str]) -> Tensor:
    """Unit vectors of class names, (C, V), the mean of their words where a name has several.

    Raises:
        SketchClipError: If a word is missing; it names all classes without vectors.
    """
    size = vector_size(path)
    candidates = {name: spellings(name) for name in class_names}
    wanted = {word for forms in candidates.values() for form in forms for word in form}
    found: dict[str, np.ndarray] = {}
    word = ""
    try:
        with open_with_progress(path, "r", encoding="utf-8", description="Word vectors") as file:
            for line in file:
                word, _, numbers = line.rstrip().partition(" ")
                if word in wanted and word not in found:
                    found[word] = np.array(numbers.split(), dtype=np.float32)
                    if len(found[word]) != size:
                        raise ValueError(f"expected {size} numbers, found {len(found[word])}")
    except ValueError as error:
        raise SketchClipError(f"{path}, line of '{word}': {error}.") from error
    vectors, missing = [], []
    for name, forms in candidates.items():
        form = next((form for form in forms if all(word in found for word in form)), None)
        if form is None:
            missing.append(f"{name} ({', '.join(w for w in forms[-1] if w not in found)})")
            continue
        vectors.append(np.mean([found[word] / np.linalg.norm(found[word]) for word in form], 0))
    if missing:
        raise SketchClipError(
            f"{path} has no vectors for {len(missing)} of {len(class_names)} classes: "
            f"{'; '.join(missing[:8])}{'; ...' if missing[8:] else ''}. Add lines for these words, "
            "or name another file with --model.text_head.path."
        )
    bank = torch.from_numpy(np.stack(vectors)).float()
    return torch.nn.functional.normalize(bank, dim=-1)


def spellings(name: str) -> list[list[str]]:
    """Spellings of a class name to look for, best first, each a list of words.

    >>> spellings("Hot-air_balloon")
    [['hot-air_balloon'], ['hot-air-balloon'], ['hot-air', 'balloon'], ['hot', 'air', 'balloon']]
    """
    text = spoken(name).lower()
    joined = [[text.replace(" ", "_")], [text.replace(" ", "-")]]
    forms = [*joined, text.split(), re.findall(r"\w+", text)]
    return [form for at, form in enumerate(forms) if form not in forms[:at]]
