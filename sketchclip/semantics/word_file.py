"""Class vectors from a file of word vectors."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from sketchclip.semantics.base import ClassSemantics
from sketchclip.semantics.word_vectors import PACKAGED, class_vectors


class WordVectorFile(ClassSemantics):
    """Means of the word vectors of a class's name, as word2vec and GloVe give them.

    Args:
        path: File of GloVe, word2vec (text or binary) or fastText, as it is or as .gz; null for the
            few vectors in the package, of the words of the bundled benchmarks.
    """

    def __init__(self, path: str | None = None) -> None:
        super().__init__()
        self.path = path

    def vectors(self, class_names: Sequence[str]) -> Tensor:
        """Unit vectors of classes, (C, V)."""
        return class_vectors(PACKAGED if self.path is None else Path(self.path), class_names)

    @property
    def source(self) -> str:
        """Name of the file."""
        return f"word vectors of {PACKAGED.name if self.path is None else Path(self.path).name}"
