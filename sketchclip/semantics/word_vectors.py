"""Vectors of class names from a file of word vectors."""

import re
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.semantics.class_names import spoken
from sketchclip.semantics.vector_file import ANOTHER, find_vectors

PACKAGED = Path(str(files("sketchclip"))) / "assets" / "word_vectors.txt"
"""Vectors of the words in the class names of the bundled benchmarks."""


def class_vectors(path: Path, class_names: Sequence[str]) -> Tensor:
    """Unit vectors of class names, (C, V), the mean of their words where a name has several.

    Reading ends early once the best spelling of every name is found.

    Raises:
        SketchClipError: If a word is missing; it names all classes without vectors.
    """
    candidates = {name: spellings(name) for name in class_names}
    wanted = {word for forms in candidates.values() for form in forms for word in form}
    unsettled = {word for forms in candidates.values() for word in forms[0]}
    found: dict[str, np.ndarray] = {}
    with closing(find_vectors(path, wanted)) as vectors:
        for word, vector in vectors:
            found[word] = vector / np.linalg.norm(vector.astype(np.float64))
            unsettled.discard(word)
            if not unsettled:
                break
    rows, missing = [], []
    for name in class_names:
        form = next((f for f in candidates[name] if all(word in found for word in f)), None)
        if form is None:
            words = re.findall(r"\w+", spoken(name).lower())
            missing.append(f"{name} ({', '.join(word for word in words if word not in found)})")
            continue
        rows.append(np.mean([found[word] for word in form], 0))
    if missing:
        raise SketchClipError(
            f"{path} has no vectors for {len(missing)} of {len(class_names)} classes: "
            f"{'; '.join(missing[:8])}{'; ...' if missing[8:] else ''}. Add lines for these words, "
            f"or {ANOTHER}."
        )
    return torch.nn.functional.normalize(torch.from_numpy(np.stack(rows)).float(), dim=-1)


def spellings(name: str) -> list[list[str]]:
    """Spellings of a class name to look for, best first, each a list of words.

    Each is tried in lower case, as written and with capitals: files such as GoogleNews, where the
    tower is ``Eiffel_Tower``, tell cases apart.

    >>> spellings("zebra"), spellings("Eiffel tower")[:4]
    ([['zebra'], ['Zebra']],
     [['eiffel_tower'], ['Eiffel_tower'], ['Eiffel_Tower'], ['eiffel-tower']])
    >>> [form for form in spellings("hot-air_balloon") if "hot" in form or "hot-air" in form]
    [['hot-air', 'balloon'], ['hot', 'air', 'balloon']]
    """
    text = spoken(name)
    cases = (text.lower(), text, text.title())
    forms = [case.replace(" ", joined).split() for joined in "_- " for case in cases]
    forms += [re.findall(r"\w+", case) for case in cases]
    return [form for at, form in enumerate(forms) if form not in forms[:at]]
