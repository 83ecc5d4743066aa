"""Off-the-shelf CLIP, or any other frozen encoder: embeds sketches and photos, trains nothing."""

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from data_modules.batch import TrainingBatch
from data_modules.transforms import Side
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.encoders import ImageEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.encoded import EncodedMethod


class FrozenCLIP(CLIPEncoderMixin, RetrievalModule):
    """The reference every adaptation is compared with; for validate, test and predict.

    Args:
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
    """

    def __init__(self, backbone: str = "ViT-B-32-quickgelu", pretrained: str | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.build_towers(backbone, pretrained)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Refuse: there is nothing to train."""
        raise SketchClipError("FrozenCLIP trains nothing; use 'sketchclip test'.")


class FrozenEncoder(EncodedMethod):
    """The reference of methods on any encoder: its embeddings as they are.

    Args:
        encoder: Any encoder; for validate, test and predict.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.build_encoder(encoder)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Refuse: there is nothing to train."""
        raise SketchClipError("FrozenEncoder trains nothing; use 'sketchclip test'.")

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, D)."""
        return self.encoder(images, side)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Refuse: there is nothing to train."""
        raise SketchClipError("FrozenEncoder trains nothing; use 'sketchclip test'.")
