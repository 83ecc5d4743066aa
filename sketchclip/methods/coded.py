"""The base of methods whose embeddings may be binary codes."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from data_modules.batch import SIDES
from data_modules.transforms import Side
from sketchclip.errors import SketchClipError
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import IterativeQuantization

IMAGES = 2_000
"""Training images of a side, at most, that codes are fitted to."""


class CodedMethod(EncodedMethod):
    """Embeds in real numbers, or with ``bits`` in codes of -1 and 1 ranked by Hamming distance.

    The codes are those of iterative quantisation (ITQ) of the embeddings of training images, which
    are computed before each validation and at the end of each epoch. Each side is centred by its
    own mean, and embeddings that are ranked by their cosine have unit length.
    """

    codes: IterativeQuantization | None
    centres: Tensor

    @abstractmethod
    def real_embedding(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side in real numbers, (B, D)."""

    def build_codes(self, dim: int, bits: int | None) -> None:
        """Take the length of codes of the constructor.

        Args:
            dim: Numbers of an embedding.
            bits: Length of a code; None for none.
        """
        self.codes, self._fitted_at = None, -1
        if bits is None:
            return
        if not 0 < bits <= dim:
            raise SketchClipError(
                f"model.bits={bits}: expected null for real embeddings, or 1 to {dim}, the numbers "
                "of an embedding that they are made from."
            )
        self.codes = IterativeQuantization(dim, bits)
        self.register_buffer("centres", torch.zeros(2, dim))
        self.similarity = "hamming"

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, D), or code them, (B, bits)."""
        embedding = self.real_embedding(images, side)
        if self.codes is None:
            return embedding
        return self.codes(self._scaled(embedding) - self.centres[SIDES.index(side)])

    def _scaled(self, embedding: Tensor) -> Tensor:
        by_cosine = type(self).similarity == "cosine"
        return normalize(embedding.float()) if by_cosine else embedding.float()

    @torch.no_grad()
    def _fit_codes(self) -> None:
        trainer: Any = self.trainer
        if self.codes is None or self._fitted_at == self.global_step:
            return
        data, centred, training = trainer.datamodule, [], self.training
        if data is None:
            raise SketchClipError(
                "model.bits needs a data module, to whose training images the codes are fitted. "
                "Pass datamodule= to Trainer.fit, or leave bits out."
            )
        self._fitted_at = self.global_step
        self.eval()
        for at, (images, side) in enumerate(zip(data.catalogue.training, SIDES, strict=True)):
            step = 1 + sum(map(len, images.values())) // IMAGES
            some = {name: files[::step] for name, files in images.items()}
            rows = []
            for batch in data.training_images(some, side):
                pixels = data.normalize(batch.to(self.device)).image[batch.index >= 0]
                rows.append(self._scaled(self.real_embedding(pixels, side)))
            self.centres[at] = torch.cat(rows).mean(0)
            centred.append(torch.cat(rows) - self.centres[at])
        self.codes.fit(torch.cat(centred))
        # Of several processes all computed the same, but for the last digits.
        state = [self.centres, *self.codes.buffers()]
        for mine, first in zip(state, trainer.strategy.broadcast(state), strict=True):
            mine.copy_(first)
        self.train(training)

    def on_validation_start(self) -> None:
        """Fit the codes to the model as it is, within a fit."""
        super().on_validation_start()
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self._fit_codes()

    def on_train_epoch_end(self) -> None:
        """Fit the codes where no validation has just done so."""
        super().on_train_epoch_end()
        self._fit_codes()
