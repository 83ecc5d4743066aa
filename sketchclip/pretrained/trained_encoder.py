"""A trained run as the frozen encoder of the next: the first stage of IIAE and SEM-PCYC."""

from pathlib import Path

import torch
from torch import Tensor, nn

from data_modules.transforms import Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.encoders import ImageEncoder
from sketchclip.encoders.twins import by_side
from sketchclip.errors import SketchClipError
from sketchclip.methods import SelfDistillation
from sketchclip.pretrained.find import find_checkpoint, hub_id
from sketchclip.pretrained.model_hash import model_hash
from sketchclip.pretrained.saved import build_module, read_saved

_OPTION = "--model.encoder.init_args.pretrained"


class TrainedEncoder(ImageEncoder):
    """Embeds as a trained model does, frozen.

    Its classes count as trained on: no method that stands on it is measured on them. A checkpoint
    of such a method does not hold it, as it holds no other frozen encoder; it needs the first run.

    Args:
        pretrained: Run folder, ``.ckpt`` or ``.safetensors`` file, exported folder or repository of
            the Hugging Face hub, of SeenClassClassifier or any other method; null, which exported
            models have in place of a path, is refused.

    Raises:
        SketchClipError: If there is no such run.
    """

    def __init__(self, pretrained: str | None) -> None:
        super().__init__()
        self.frozen = True
        if pretrained is None:  # of an exported model, whose files know no path of the first run
            raise SketchClipError(
                "The model stands on another trained run, which is not part of it. Name that run: "
                "--pretrained RUN for index, search and demo, from_pretrained(..., pretrained=RUN) "
                f"in Python, {_OPTION}=RUN for fit and test."
            )
        file = find_checkpoint(pretrained, option=_OPTION)
        # 'last' is another run after the next training.
        self.pretrained = pretrained if hub_id(pretrained) else str(Path(file).resolve())
        saved = read_saved(Path(file))
        module = build_module(saved)
        self.preprocessing = steps = saved.preprocessing
        self.image_size, self.mean, self.std = steps.size, steps.mean, steps.std
        self.interpolation = steps.interpolation
        self.training_classes, self.training_data = module.training_classes, module.training_data
        self.origin = {
            "name": type(module).__name__,
            "pretrained": self.pretrained,
            "hash": model_hash(module, {**saved.settings, "preprocessing": steps}),
        }
        self.trained = mark_pretrained(module)
        with torch.no_grad():
            blank = torch.zeros(1, 3, self.image_size, self.image_size)
            self.dim = int(module.embed(blank, "photo").shape[1])

    def prototypes(self) -> nn.Module | None:
        """Head of a run of SelfDistillation; None of any other run."""
        return self.trained.head if isinstance(self.trained, SelfDistillation) else None

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of one side, or of both, (B, 3, H, W) to (B, dim)."""
        return by_side(self.trained.embed, images, side)
