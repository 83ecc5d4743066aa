"""Class vectors from the hierarchy of nouns in WordNet, and likeness to the classes of ImageNet.

The similarity of two nouns is 1 / (1 + d), d the fewest steps from both up to a common ancestor
(the path similarity of Pedersen et al., 2004).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sketchclip.semantics.base import ClassSemantics
from sketchclip.semantics.class_synsets import class_synsets
from sketchclip.semantics.word_vectors import class_vectors
from sketchclip.semantics.wordnet_file import Nouns, read_nouns


class WordNetHierarchy(ClassSemantics):
    """Path similarities of a class to every noun of the hierarchy that the classes span (SEM-PCYC).

    The hierarchy holds the nouns of all classes given and everything above them; its size V
    depends on the classes. Word vectors, where a file is named, come first. They have unit length;
    similarities stay as they are, from 0 to 1: SEM-PCYC concatenates both (Dutta and Akata, CVPR
    2019; on TU-Berlin with this similarity, on Sketchy with that of Jiang and Conrath).

    Args:
        path: Folder of WordNet 3.0 with data.noun and index.noun; null for the nouns in the
            package, those of the shipped class lists.
        word_vectors: File of word vectors to put in front, as ``WordVectorFile`` reads; null for
            none.
        senses: Text file with a line ``class name = lemma#sense`` for each class whose noun is not
            found or is another one, such as ``mug = mug#4``; null for none.
    """

    def __init__(
        self,
        path: str | None = None,
        word_vectors: str | None = None,
        senses: str | None = None,
    ) -> None:
        super().__init__()
        self.path = path
        self.word_vectors = word_vectors
        self.senses = senses

    def vectors(self, class_names: Sequence[str]) -> Tensor:
        """Vectors of classes, (C, V), not of unit length."""
        nouns = read_nouns(self.path)
        synsets = class_synsets(nouns, class_names, self.senses)
        nodes = sorted({above for synset in synsets for above in nouns.ancestors(synset)})
        similarities = torch.from_numpy(path_similarity(nouns, synsets, nodes))
        if self.word_vectors is None:
            return similarities
        return torch.cat([class_vectors(Path(self.word_vectors), class_names), similarities], 1)

    @property
    def source(self) -> str:
        """What the similarities are of, and the name of the file of word vectors."""
        words = "" if self.word_vectors is None else f"{Path(self.word_vectors).name} and "
        return f"{words}path similarities in WordNet 3.0"


def path_similarity(nouns: Nouns, first: Sequence[int], second: Sequence[int]) -> np.ndarray:
    """Path similarity of two lists of synsets, fp32, (A, B); 0 without a common ancestor."""
    above = [nouns.ancestors(synset) for synset in second]
    row = {node: at for at, node in enumerate({node for steps in above for node in steps})}
    up = np.full((len(row), len(second)), np.inf)
    for column, steps in enumerate(above):
        up[[row[node] for node in steps], column] = list(steps.values())
    shortest = np.full((len(first), len(second)), np.inf)
    for at, synset in enumerate(first):
        shared = {node: count for node, count in nouns.ancestors(synset).items() if node in row}
        if shared:
            own = np.array([*shared.values()])[:, None]
            shortest[at] = (own + up[[row[node] for node in shared]]).min(0)
    return (1 / (1 + shortest)).astype(np.float32)


def imagenet_similarity(
    class_names: Sequence[str], path: str | None = None, senses: str | None = None
) -> Tensor:
    """Likeness of classes to the 1,000 of ImageNet, in timm's order (the hint of SAKE).

    1 where both are the same noun or one is a kind of the other; else the path similarity where
    it is above 0.2; else 0. So the released code has it (qliu24/SAKE, Liu et al., ICCV 2019), which
    takes the nouns of a class from the names of its photos where these have ImageNet's numbers;
    here they are those of the class names. Sharing a word with a class of ImageNet does not count:
    its ear is that of corn.

    Args:
        class_names: Names of C classes.
        path: Folder of WordNet 3.0; None for the nouns in the package.
        senses: File of nouns for single classes, as for :class:`WordNetHierarchy`.

    Returns:
        Similarities, fp32, (C, 1000).

    Raises:
        SketchClipError: If a class has no noun.
    """
    from timm.data import ImageNetInfo

    nouns = read_nouns(path)
    classes = class_synsets(nouns, class_names, senses)
    imagenet = [int(name[1:]) for name in ImageNetInfo("imagenet-1k").label_names()]
    similarity = path_similarity(nouns, classes, imagenet)
    similarity[similarity <= np.float32(0.2)] = 0
    over = [nouns.ancestors(synset).keys() for synset in imagenet]
    for row, synset in enumerate(classes):
        under = nouns.ancestors(synset).keys()
        kinds = [other in under or synset in over[at] for at, other in enumerate(imagenet)]
        similarity[row, kinds] = 1
    return torch.from_numpy(similarity)
