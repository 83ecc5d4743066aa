"""What the classification loss compares images with: one embedding for each seen class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.ranges import CheckedArguments, Count, NonNegative
from sketchclip.clip.backbone import CLIPModel
from sketchclip.clip.text import TEMPLATE, encode_classes
from sketchclip.semantics.class_names import spoken
from sketchclip.semantics.vector_file import vector_size
from sketchclip.semantics.word_vectors import PACKAGED, class_vectors


class TextHead(CheckedArguments, nn.Module, ABC):
    """Gives the embeddings of the seen classes.

    A subclass keeps its constructor's arguments as attributes of the same names. What depends on
    the classes is in buffers that no checkpoint holds: testing needs no class name.
    """

    def build(self, clip: CLIPModel) -> None:
        """Create parameters, which must not depend on the classes.

        Args:
            clip: The frozen model; it must not become a submodule.
        """

    @abstractmethod
    def prepare(self, clip: CLIPModel, backbone: str, class_names: Sequence[str]) -> None:
        """Do once what the classes need, before training.

        Args:
            clip: The frozen model.
            backbone: Its name, which decides the tokenizer.
            class_names: Seen classes in the order of their labels.
        """

    @abstractmethod
    def forward(self, clip: CLIPModel) -> Tensor:
        """Embeddings of the prepared classes, (C, D); need not be normalised."""


class TemplateText(TextHead):
    """CLIP's frozen text encoder on a sentence with the class name; trains nothing.

    Args:
        template: Sentence with ``{}`` for the name; the paper has this one for sketches and photos.
    """

    bank: Tensor | None

    def __init__(self, template: str = TEMPLATE) -> None:
        super().__init__()
        self.template = template
        self.register_buffer("bank", None, persistent=False)

    def prepare(self, clip: CLIPModel, backbone: str, class_names: Sequence[str]) -> None:
        """Embed every sentence."""
        self.bank = encode_classes(clip, backbone, class_names, self.template)

    def forward(self, clip: CLIPModel) -> Tensor:
        """The cached embeddings, (C, D)."""
        assert self.bank is not None  # prepared
        return self.bank


class LearnedContext(TextHead):
    """Learned words in place of "a photo of a" (CoOp, Zhou et al., IJCV 2022).

    All classes share the M context vectors; the frozen text encoder reads them before the name in
    each step, which takes time in proportion to the number of seen classes.

    Trainable: M W_text; 2,048 on ViT-B/32 with M = 4.

    Args:
        n_context: Number M of context vectors; the paper gives none.
        std: Standard deviation of their initialisation, CoOp's.
    """

    tokens: Tensor | None

    def __init__(self, n_context: Count = 4, std: NonNegative = 0.02) -> None:
        super().__init__()
        self.n_context = n_context
        self.std = std
        self.register_buffer("tokens", None, persistent=False)

    def build(self, clip: CLIPModel) -> None:
        """Draw the context."""
        width = _token_embedding(clip).embedding_dim
        self.context = nn.Parameter(self.std * torch.randn(self.n_context, width))

    def prepare(self, clip: CLIPModel, backbone: str, class_names: Sequence[str]) -> None:
        """Tokenize "x x x x <name>."; the embeddings of the first M words are replaced."""
        import open_clip

        words = " ".join("x" * self.n_context)
        tokenizer = open_clip.get_tokenizer(backbone)
        tokens = tokenizer([f"{words} {spoken(name)}." for name in class_names])
        self.tokens = tokens.to(next(clip.parameters()).device)

    def forward(self, clip: CLIPModel) -> Tensor:
        """Read the sentences with the present context, (C, D)."""
        assert self.tokens is not None  # prepared

        def replace(_: nn.Module, inputs: tuple[Tensor], embedded: Tensor) -> Tensor:
            context = self.context.to(embedded.dtype).expand(len(embedded), -1, -1)
            return torch.cat([embedded[:, :1], context, embedded[:, 1 + self.n_context :]], dim=1)

        handle = _token_embedding(clip).register_forward_hook(replace)
        try:
            bank: Tensor = clip.encode_text(self.tokens)
        finally:
            handle.remove()
        return bank


class WordVectors(TextHead):
    """Word vectors from a file instead of CLIP's text encoder, mapped to its space.

    The paper's ablation has word2vec here. Vectors are frozen; a linear layer to CLIP's embedding
    space is learned (our reading: the paper does not say how the sizes are matched).

    Trainable: (V + 1) D for vectors of V numbers.

    Args:
        path: File of GloVe, word2vec (text or binary) or fastText, as it is or as .gz; null for the
            few vectors in the package, of the words of the embedded benchmarks.
    """

    vectors: Tensor | None

    def __init__(self, path: str | None = None) -> None:
        super().__init__()
        self.path = path
        self.register_buffer("vectors", None, persistent=False)

    @property
    def _file(self) -> Path:
        return PACKAGED if self.path is None else Path(self.path)

    def build(self, clip: CLIPModel) -> None:
        """Create the linear layer; the file decides its width."""
        self.projection = nn.Linear(vector_size(self._file), clip.visual.proj.shape[1])

    def prepare(self, clip: CLIPModel, backbone: str, class_names: Sequence[str]) -> None:
        """Look the names up."""
        vectors = class_vectors(self._file, class_names)
        self.vectors = vectors.to(next(clip.parameters()).device)

    def forward(self, clip: CLIPModel) -> Tensor:
        """Project, (C, D)."""
        return F.normalize(self.projection(self.vectors), dim=-1)


def _token_embedding(clip: CLIPModel) -> nn.Embedding:
    text: Any = getattr(clip, "text", clip)
    embedding: nn.Embedding = text.token_embedding
    return embedding
