"""ZS-CVAE and ZS-CAAE: generated photo features, Yelamarthi et al., ECCV 2018.

From the features s of a sketch a decoder generates features of photos, p' = D(z, s), for a latent z
that a sample of the prior may stand for at test time. p are the features of a photo of the sketch.

- CVAE: L = mean (p' - p)^2 + kl_weight KL(q(z|p, s) || N(0, I)) + 10 mean (F(p') - s)^2;
- CAAE: z = E(p, s) in place of a distribution; a discriminator that tells z from the prior,
  L_D = BCE(C(n), 1) + BCE(C(z), 0), replaces the divergence by lambda_adv BCE(C(z), 1).

A sketch is embedded as the mean of the photos generated from 100 samples of the prior, the same
ones for each sketch, and compared with the features of the photos themselves by their cosine.
Released code of CVAE: ShivaKrishnaM/ZS-SBIR. CAAE has none: it is a reimplementation from the text.
"""

from typing import ClassVar, Literal

import torch
from jsonargparse import lazy_instance
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import kl_normal
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import GaussianHead, call_constant, sample_normal


class CVAE(EncodedMethod):
    """Conditional variational autoencoder of photo features (ZS-CVAE).

    The divergence is a sum over the latent and the reconstruction a mean over the features, so that
    it outweighs it; this is the released code's choice, see ``kl_weight``.

    Args:
        encoder: Frozen encoder of both sides; the paper has the second fully connected layer of
            VGG16.
        latent: Numbers of z.
        hidden: Width of the inner layers.
        samples: Samples of the prior for each sketch in retrieval.
        kl_weight: Weight of the divergence from the prior.
        feedback: Weight of the loss that the sketch can be read off the generated photo.
        nonnegative: Generate features of at least 0, as VGG16's are behind their ReLU.
        pairing: class for a photo of the sketch's class; instance for the one that the sketch was
            drawn from, which the paper has on Sketchy.
        lr: Learning rate of Adam, beta_1 = 0.5.
    """

    training_only: ClassVar[tuple[str, ...]] = ("posterior.", "back.", "critic.")
    prior: Tensor

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k", frozen=True),
        latent: Count = 1024,
        hidden: Count = 2048,
        samples: Count = 100,
        kl_weight: NonNegative = 1.0,
        feedback: NonNegative = 10.0,
        nonnegative: bool = True,
        pairing: Literal["class", "instance"] = "class",
        lr: NonNegative = 2e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_encoder(encoder)
        self.training_batch = BatchSpec(
            "class_pair" if pairing == "class" else "instance_triplet", smallest_batch=2
        )
        last: list[nn.Module] = [nn.ReLU()] if nonnegative else []
        self.decoder = nn.Sequential(
            nn.Linear(latent + width, hidden), nn.ReLU(), nn.Linear(hidden, width), *last
        )
        noise = torch.randn(samples, latent, generator=torch.Generator().manual_seed(0))
        self.register_buffer("prior", noise, persistent=False)

    def build_training_parts(self) -> None:
        """Create the encoder of the latent and the way back to the sketch."""
        width, hidden, latent = self.encoder.dim, self.hparams.hidden, self.hparams.latent
        self.posterior = nn.Sequential(
            *(nn.Linear(2 * width, 2 * hidden), nn.ReLU(), nn.BatchNorm1d(2 * hidden)),
            *(nn.Dropout(0.3), nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.BatchNorm1d(hidden)),
            GaussianHead(hidden, latent, bounded=True),
        )
        last: list[nn.Module] = [nn.ReLU()] if self.hparams.nonnegative else []
        self.back = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), *last
        )

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Features of photos; of sketches the mean of the photos generated from them, (B, D)."""
        features = self.encoder(images, side)
        if side == "photo":
            return features
        return torch.stack([self.generate(self.prior, s).mean(0) for s in features])

    def generate(self, latents: Tensor, sketch: Tensor) -> Tensor:
        """Features of photos, (K, D), for latents (K, Z) and the features of one sketch (D,)."""
        photos: Tensor = self.decoder(torch.cat([latents, sketch.expand(len(latents), -1)], dim=1))
        return photos

    def losses(self, sketch: Tensor, photo: Tensor, latent: Tensor) -> dict[str, Tensor]:
        """Reconstruction of the photo from a latent, and of the sketch from what was generated."""
        generated = self.decoder(torch.cat([latent, sketch], dim=1))
        return {
            "train/reconstruction": F.mse_loss(generated, photo),
            "train/feedback": self.hparams.feedback * F.mse_loss(self.back(generated), sketch),
        }

    def pair(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Features of the sketches of a batch and of their photos, (B, D) each."""
        sketch = self.encode(batch.sketch, "sketch", batch.features)
        return sketch, self.encode(batch.photo, "photo", batch.features)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo)."""
        sketch, photo = self.pair(batch)
        distribution = self.posterior(torch.cat([photo, sketch], dim=1))
        latent = sample_normal(distribution, self.draws(batch_idx))
        logs = self.losses(sketch, photo, latent)
        logs["train/divergence"] = self.hparams.kl_weight * kl_normal(distribution)
        loss = torch.stack([*logs.values()]).sum()
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, as in the released code."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, self.hparams.lr, betas=(0.5, 0.999))


class CAAE(CVAE):
    """Conditional adversarial autoencoder of photo features (ZS-CAAE), from the text.

    Args:
        encoder: See CVAE.
        latent: Numbers of z.
        hidden: Width of the inner layers.
        samples: Samples of the prior for each sketch in retrieval.
        lambda_adv: Weight of the loss that the latent is taken for a sample of the prior.
        feedback: Weight of the loss that the sketch can be read off the generated photo.
        nonnegative: Generate features of at least 0.
        pairing: class or instance, see CVAE.
        lr: Learning rate of Adam, beta_1 = 0.5, for autoencoder and discriminator.
    """

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k", frozen=True),
        latent: Count = 1024,
        hidden: Count = 2048,
        samples: Count = 100,
        lambda_adv: NonNegative = 1.0,
        feedback: NonNegative = 10.0,
        nonnegative: bool = True,
        pairing: Literal["class", "instance"] = "class",
        lr: NonNegative = 2e-4,
    ) -> None:
        super().__init__(encoder, latent, hidden, samples, 0.0, feedback, nonnegative, pairing, lr)

    def build_training_parts(self) -> None:
        """Create the parts of CVAE, without a variance, and the discriminator of latents."""
        super().build_training_parts()
        self.posterior[-1] = nn.Linear(self.hparams.hidden, self.hparams.latent)
        self.critic = nn.Sequential(
            nn.Linear(self.hparams.latent, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1)
        )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of the autoencoder plus that of the discriminator; their gradients do not meet."""
        sketch, photo = self.pair(batch)
        latent = self.posterior(torch.cat([photo, sketch], dim=1))
        logs = self.losses(sketch, photo, latent)
        # One backward for both: to the autoencoder the discriminator is a constant.
        taken = _told(call_constant(self.critic, latent), real=True)
        logs["train/adversarial"] = self.hparams.lambda_adv * taken
        prior = torch.randn(latent.shape, generator=self.draws(batch_idx)).to(latent)
        told = _told(self.critic(prior), real=True)
        logs["train/critic"] = told + _told(self.critic(latent.detach()), real=False)
        loss = torch.stack([*logs.values()]).sum()
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss


def _told(scores: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))
