"""Classifier of the seen classes: features for methods that train on frozen ones.

IIAE and SEM-PCYC (Dutta & Akata, CVPR 2019) stand on the features of such a classifier, a network
for each side: VGG16 with a layer of 512 numbers before the classes. Fit it, then name its run as
the encoder of the next method: ``--model.encoder TrainedEncoder --model.encoder.pretrained RUN``.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jsonargparse import lazy_instance
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative, Part
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.methods.schedules import linear, planned_epochs
from sketchclip.nn import for_each_side


class SeenClassClassifier(EncodedMethod):
    """Classifies sketches and photos of the seen classes; embeds them by the layer before.

    L = CE(c(h(e(s))), y) + CE(c(h(e(p))), y) with a sketch s, a photo p of its class y, an encoder
    e, a layer h and a classifier c.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder to train.
        twins: Whether each side has an encoder, a layer and a classifier of its own.
        dim: Numbers of the layer before the classes.
        lr: Learning rate of SGD with momentum 0.9.
        decay: Part of the learning rate that is left at the end; it falls linearly between 10 % and
            90 % of the epochs.
    """

    training_batch = BatchSpec(pairing="class_pair")
    training_only: ClassVar[tuple[str, ...]] = ("classifiers.",)

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k", dropout=0.5),
        twins: bool = True,
        dim: Count = 512,
        lr: NonNegative = 0.01,
        decay: Part = 0.6,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_encoder(encoder, twins)
        self.layers = self._by_side(width, dim)

    def _by_side(self, width: int, dim: int) -> nn.ModuleDict:
        layer = nn.Linear(width, dim)
        shared = nn.ModuleDict({"sketch": layer, "photo": layer})
        return for_each_side(layer) if self.hparams.twins else shared

    def build_training_parts(self) -> None:
        """Create the classifiers."""
        self.classifiers = self._by_side(self.hparams.dim, len(self.hparams.class_names))

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, dim)."""
        embedding: Tensor = self.layers[side](self.encoder(images, side))
        return embedding

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class)."""
        logs: dict[str, Tensor] = {}
        sides: dict[Side, Tensor] = {"sketch": batch.sketch, "photo": batch.photo}
        for side, values in sides.items():
            embedding = self.layers[side](self.encode(values, side, batch.features))
            logits = self.classifiers[side](embedding)
            logs[f"train/{side}"] = cross_entropy(logits, batch.label)
        loss = logs["train/sketch"] + logs["train/photo"]
        self.log_losses(logs | {"train/loss": loss}, len(batch.label))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD whose rate falls linearly, as in the released code of SEM-PCYC."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, self.hparams.lr, momentum=0.9)
        epochs, decay = planned_epochs(self.trainer), self.hparams.decay
        schedule = LambdaLR(optimizer, lambda epoch: linear(epoch, epochs, decay))
        return [optimizer], [schedule]
