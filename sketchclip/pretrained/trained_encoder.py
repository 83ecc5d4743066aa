"""A trained run as the frozen encoder of the next: the first stage of IIAE and SEM-PCYC."""

from pathlib import Path

import torch
from torch import Tensor

from data_modules.transforms import Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.encoders import ImageEncoder
from sketchclip.encoders.twins import by_side
from sketchclip.pretrained.find import find_checkpoint
from sketchclip.pretrained.model_hash import model_hash
from sketchclip.pretrained.saved import build_module, read_saved


class TrainedEncoder(ImageEncoder):
    """Embeds as a trained model does, frozen.

    Its classes count as trained on: no method that stands on it is measured on them. A checkpoint
    of such a method does not hold it, as it holds no other frozen encoder; it needs the first run.

    Args:
        pretrained: Run folder, ``.ckpt`` or ``.safetensors`` file, exported folder or repository of
            the Hugging Face hub, of SeenClassClassifier or any other method.

    Raises:
        SketchClipError: If there is no such run.
    """

    def __init__(self, pretrained: str) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.frozen = True
        option = "--model.encoder.init_args.pretrained"
        saved = read_saved(Path(find_checkpoint(pretrained, option=option)))
        module = build_module(saved)
        steps = saved.preprocessing
        self.image_size, self.mean, self.std = steps.size, steps.mean, steps.std
        self.interpolation = steps.interpolation
        self.training_classes = module.training_classes
        self.origin = {
            "name": type(module).__name__,
            "pretrained": pretrained,
            "hash": model_hash(module, {**saved.settings, "preprocessing": steps}),
        }
        self.trained = mark_pretrained(module)
        with torch.no_grad():
            blank = torch.zeros(1, 3, self.image_size, self.image_size)
            self.dim = int(module.embed(blank, "photo").shape[1])

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of one side, or of both, (B, 3, H, W) to (B, dim)."""
        return by_side(self.trained.embed, images, side)
