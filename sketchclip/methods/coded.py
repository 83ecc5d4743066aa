"""The base of methods whose embeddings may be binary codes."""

from typing import Any

import torch
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import IterativeQuantization

_MOST = 20_000


class CodedMethod(EncodedMethod):
    """Embeds in real numbers, or with ``bits`` in codes of -1 and 1 ranked by Hamming distance.

    The codes are those of iterative quantisation (ITQ) of the embeddings of the last training
    batches before each validation and at the end of each epoch; no gradient reaches them.
    """

    codes: IterativeQuantization | None

    def build_codes(self, dim: int, bits: int | None) -> None:
        """Take the length of codes of the constructor.

        Args:
            dim: Numbers of an embedding.
            bits: Length of a code; None for none.
        """
        self._seen: list[Tensor] = []
        self.codes = None
        if bits is None:
            return
        if not 0 < bits <= dim:
            raise SketchClipError(
                f"model.bits={bits}: expected null for real embeddings, or 1 to {dim}, the numbers "
                "of an embedding that they are made from."
            )
        self.codes = IterativeQuantization(dim, bits)
        self.similarity = "hamming"

    def coded(self, embedding: Tensor) -> Tensor:
        """Embedding (B, D) itself, or its code (B, bits)."""
        return embedding if self.codes is None else self.codes(embedding)

    def collect(self, *embeddings: Tensor) -> None:
        """Keep embeddings of a training batch, (B, D) each, for the codes."""
        if self.codes is not None:
            self._seen.append(torch.cat(embeddings).detach().float())
            while sum(map(len, self._seen[1:])) >= _MOST:
                del self._seen[0]

    def _fit_codes(self) -> None:
        if self.codes is not None and self._seen:
            gathered: Any = self.all_gather(torch.cat(self._seen))
            self.codes.fit(gathered.flatten(0, -2))
            self._seen.clear()

    def on_validation_start(self) -> None:
        """Fit the codes to what was trained since the last time."""
        super().on_validation_start()
        self._fit_codes()

    def on_train_epoch_end(self) -> None:
        """Fit the codes where no validation has done so."""
        super().on_train_epoch_end()
        self._fit_codes()
