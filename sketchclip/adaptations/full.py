"""Full fine-tuning."""

from sketchclip.adaptations.base import Adaptation


class FullFineTuning(Adaptation):
    """All weights of the image encoder train (B-FT); the text encoder stays frozen.

    BatchNorm, which only the mini CLIP has, keeps the statistics of pre-training. The learning rate
    is the method's ``ln_lr``.

    Args:
        shared: One encoder for sketches and photos, or a copy for each.
    """

    everything = True

    def __init__(self, shared: bool = True) -> None:
        super().__init__()
        self.shared = shared
        self.one_encoder = shared
