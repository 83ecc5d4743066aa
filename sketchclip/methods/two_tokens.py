"""The base of TVT and PSKD: one network with a fusion and a distill token for both sides."""

from typing import ClassVar

from torch import Tensor
from typing_extensions import Self

from data_modules.batch import BatchSpec
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TwoTokens
from sketchclip.methods.coded import CodedMethod
from sketchclip.methods.warm_cosine import WarmCosineMethod


class TwoTokenMethod(WarmCosineMethod, CodedMethod):
    """Embeds by the fusion token, and trains on single images with dropout off."""

    backbone: ClassVar[tuple[str, ...]] = ("encoder.", "tokens.token", "tokens.position")

    def build_tokens(
        self, encoder: ImageEncoder, distills: bool, bits: int | None, photos_per_sketch: float
    ) -> int:
        """Take arguments of the constructor.

        Args:
            encoder: Encoder of both sides.
            distills: Whether the method reads the distill embedding.
            bits: Length of binary codes; None for none.
            photos_per_sketch: Photos in a batch for each sketch.

        Returns:
            Numbers of an embedding.
        """
        width = self.build_encoder(encoder)
        self.tokens = TwoTokens(self.encoder, distills)
        self.build_codes(width, bits)
        ratio = 1 / (1 + photos_per_sketch)
        self.training_batch = BatchSpec(pairing="singles", sketch_ratio=ratio)
        self.train()
        return width

    def real_embedding(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side by the fusion token, (B, D)."""
        return self.tokens(self.encoder, images, side)[:, 0]

    def train(self, mode: bool = True) -> Self:
        """Set training mode but for encoders: their dropout is off, their BatchNorm as it was."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, ImageEncoder):
                part.eval()
        return self
