"""MCC: modality capacity constraints, Gong et al., IJCAI 2024; from its released loss.

Beside a classification or a triplet loss, the mean cosine of all pairs of a side's embeddings,
|mean of x|^2, is held near a target c of the side:

L = L_cls or L_tri, + l_s |cap(S) - c_s| + l_p |cap(P) - c_p|

The code (YHdian0716/ZS-SBIR-MCC) is this one loss and multiplies by l twice; neither it nor the
paper gives targets. The same term is an option of ZeroShotPromptLearning, ``capacity``.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from jsonargparse import lazy_instance
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from data_modules.batch import TrainingBatch
from data_modules.ranges import NonNegative
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import triplet_loss
from sketchclip.methods.capacity import Capacity
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import compose


class MCC(EncodedMethod):
    """An encoder that trains with one loss and a constraint on each side's mean cosine (MCC).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        capacity: Targets and weights of the constraint, which have no default in the paper.
        encoder: Encoder of both sides; the paper has CLIP and DINO.
        criterion: classes for a classifier of the seen classes over sketches and photos; triplet
            for the triplet loss.
        margin: Triplet margin in cosine distance.
        lr: Learning rate of Adam on the encoder.
        head_lr: Learning rate of the classifier.
    """

    training_only: ClassVar[tuple[str, ...]] = ("classes.",)

    def __init__(
        self,
        class_names: Sequence[str],
        capacity: Capacity,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vit_small_patch16_224.dino"),
        criterion: Literal["classes", "triplet"] = "triplet",
        margin: NonNegative = 0.3,
        lr: NonNegative = 1e-5,
        head_lr: NonNegative = 1e-3,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder", "capacity"])
        self.build_encoder(encoder)
        self.capacity = compose(self, "capacity", capacity)
        self.classes: nn.Linear | None = None

    def build_training_parts(self) -> None:
        """Create the classifier where it is used."""
        if self.hparams.criterion == "classes":
            self.classes = nn.Linear(self.encoder.dim, len(self.hparams.class_names))

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, D)."""
        return self.encoder(images, side)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        assert batch.negative is not None  # by the pairing
        sketch = self.encode(batch.sketch, "sketch", batch.features)
        photos = torch.cat([batch.photo, batch.negative])
        photo, negative = self.encode(photos, "photo", batch.features).chunk(2)
        if self.classes is None:
            logs = {"train/triplet": triplet_loss(sketch, photo, negative, self.hparams.margin)}
        else:
            found = [cross_entropy(self.classes(side), batch.label) for side in (sketch, photo)]
            logs = {"train/classes": found[0] + found[1]}
        criterion = next(iter(logs.values()))
        logs |= self.capacity(sketch, photo)
        loss = criterion + logs["train/capacity"]
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of the encoder and of the classifier."""
        head = [] if self.classes is None else [*self.classes.parameters()]
        encoder = [p for p in self.encoder.parameters() if p.requires_grad]
        return [
            {"params": encoder, "lr": self.hparams.lr},
            {"params": head, "lr": self.hparams.head_lr},
        ]
