"""ZS-IIAE: Interaction Information AutoEncoder, Hwang et al., NeurIPS 2020.

A sketch x and a photo y of its class are explained by a shared code z_s and an exclusive one each,
z_x and z_y, all normal with standard normal priors:

L = (beta + lambda) [rec_x + rec_y + a (KL(q(z_x|x)) + KL(q(z_y|y)))] + a beta KL(q(z_s|x,y))
    + lambda [KL(q(z_s|x,y) || r(z_s|x)) + KL(q(z_s|x,y) || r(z_s|y))]

with rec = 10 x mean squared error and a = 1 - exp(-step / 2000). Retrieval compares the means of
r(z_s|x) and r(z_s|y) by their cosine. Released code: gr8joo/IIAE; its features are those of a
classifier of the seen classes for each side, 512 numbers, frozen.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import SIDES, BatchSpec, TrainingBatch
from data_modules.ranges import Count, Natural, NonNegative
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import kl_normal
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import GaussianHead, sample_normal


class IIAE(EncodedMethod):
    """Autoencoders of both sides whose shared code each side alone must predict (ZS-IIAE).

    The paper's batch is one sketch and one photo of each class: set ``data.classes_per_batch`` to
    ``data.batch_size``.

    Args:
        encoder: Frozen encoder of features; the paper's was trained to classify the seen classes.
        dim: Numbers of each code.
        hidden: Width of the first layers; the second ones have half of it.
        beta: Weight of the evidence of both sides together.
        lambda_shared: Weight of what each side alone says about the shared code.
        reconstruction: Weight of the mean squared error of a reconstruction.
        warmup: Steps in which the divergences gain 63 % of their weight; 0 for none.
        lr: Learning rate of Adam, beta_1 = 0.5.
    """

    training_batch = BatchSpec(pairing="class_pair", layout="classes")
    training_only: ClassVar[tuple[str, ...]] = ("exclusive.", "joint.", "decoders.")

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k", frozen=True),
        dim: Count = 64,
        hidden: Count = 512,
        beta: NonNegative = 0.5,
        lambda_shared: NonNegative = 1.0,
        reconstruction: NonNegative = 10.0,
        warmup: Natural = 2000,
        lr: NonNegative = 2e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_encoder(encoder)
        # Their first layers also feed the joint encoder.
        self.first = nn.ModuleDict({side: _layer(width, hidden) for side in SIDES})
        self.shared = nn.ModuleDict({s: _code(hidden, dim) for s in SIDES})

    def build_training_parts(self) -> None:
        """Create the exclusive and joint encoders and the decoders."""
        width, hidden, dim = self.encoder.dim, self.hparams.hidden, self.hparams.dim
        self.exclusive, self.decoders = nn.ModuleDict(), nn.ModuleDict()
        for side in SIDES:
            self.exclusive[side] = nn.Sequential(_layer(width, hidden), _code(hidden, dim))
            self.decoders[side] = nn.Sequential(
                *(nn.Linear(2 * dim, 2 * dim), nn.BatchNorm1d(2 * dim), nn.ReLU()),
                nn.Linear(2 * dim, width),
            )
        self.joint = nn.Sequential(_layer(2 * hidden, hidden), GaussianHead(hidden, dim))

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Mean of the shared code by one side, (B, dim)."""
        mean: Tensor = self.shared[side](self.first[side](self.encoder(images, side)))[0]
        return mean

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class)."""
        settings, draws = self.hparams, self.draws(batch_idx)
        values = {
            "sketch": self.encode(batch.sketch, "sketch", batch.features),
            "photo": self.encode(batch.photo, "photo", batch.features),
        }
        first = {side: self.first[side](x) for side, x in values.items()}
        joint = self.joint(torch.cat([first["sketch"], first["photo"]], dim=1))
        shared = sample_normal(joint, draws)

        zero = shared.new_zeros(())
        rebuilt, exclusive, interaction = zero, zero, zero
        for side, x in values.items():
            own = self.exclusive[side](x)
            both = torch.cat([shared, sample_normal(own, draws)], dim=1)
            rebuilt = rebuilt + settings.reconstruction * F.mse_loss(self.decoders[side](both), x)
            exclusive = exclusive + kl_normal(own)
            interaction = interaction + kl_normal(joint, self.shared[side](first[side]))
        prior = kl_normal(joint)
        annealed = 1 - math.exp(-self.global_step / settings.warmup) if settings.warmup else 1.0
        loss = (
            (settings.beta + settings.lambda_shared) * (rebuilt + annealed * exclusive)
            + annealed * settings.beta * prior
            + settings.lambda_shared * interaction
        )
        logs = {"train/reconstruction": rebuilt, "train/exclusive": exclusive}
        logs |= {"train/shared": prior, "train/interaction": interaction, "train/loss": loss}
        self.log_losses(logs, len(shared))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in the released code."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, self.hparams.lr, betas=(0.5, 0.999))


def _layer(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2))


def _code(hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(_layer(hidden, hidden // 2), GaussianHead(hidden // 2, dim))
