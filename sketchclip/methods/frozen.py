"""Off-the-shelf CLIP: embeds sketches and photos with the frozen image encoder, trains nothing."""

from torch import Tensor

from data_modules.batch import TrainingBatch
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.errors import SketchClipError
from sketchclip.methods.base import RetrievalModule


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
