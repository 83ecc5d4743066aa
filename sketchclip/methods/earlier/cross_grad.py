"""Cross-GRAD: generalising across domains by cross-gradient training, Shankar et al., ICLR 2018.

As the fine-grained baseline of Pang et al., CVPR 2019, where the domain is the object category. Two
networks read a triplet x of a sketch, its photo and another photo of its class: the label network
has the triplet loss L_l in cosine distance, and its embedding is what retrieval compares; the
domain network classifies each image by its category, L_d the mean cross-entropy.

- x_d = x + e clamp(dL_d(x)/dx, -.1, .1): an image of a category that the domain network is less
  sure of; x_l = x + e clamp(dL_l(x)/dx, -.1, .1); both are constants from then on;
- the label network minimises (1 - a_l) L_l(x) + a_l L_l(x_d);
- the domain network minimises (1 - a_d) L_d(x) + a_d L_d(x_l).

Released code: vihari/crossgrad; this follows KaiyangZhou/Dassl.pytorch.
"""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from jsonargparse import lazy_instance
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam, Optimizer

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import triplet_loss
from sketchclip.methods.encoded import EncodedMethod


class CrossGrad(EncodedMethod):
    """Triplets of images as a classifier of categories would change them, and the reverse.

    Nothing that one network's step changes is read by the other's loss: one backward of the sum
    gives both the gradients that steps in turn would. The losses of x are those that the gradients
    are taken of; Dassl computes them once more, to the same numbers but for dropout, and has
    BatchNorm see x twice. Lightning's global_step and trainer.max_steps count both steps.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder of both sides. Each network has a copy, and a linear layer over it; behind
            a frozen encoder the layers alone train, on images: their gradient goes through it.
        dim: Numbers of an embedding.
        margin: Triplet margin in cosine distance.
        eps: Factor e of the gradients, on normalised images; 1 in Dassl, 10 in the authors' code.
        clamp: Largest gradient of a number.
        alpha_label: Weight a_l of the changed images in the label network's loss.
        alpha_domain: Weight a_d of the changed images in the domain network's loss.
        lr: Learning rate of both Adam optimisers.
    """

    instance_level = True
    needs_images = True
    training_batch = BatchSpec(pairing="instance_triplet")
    training_only: ClassVar[tuple[str, ...]] = ("domain_encoder.", "domain_head.")

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="resnet50.tv_in1k"),
        dim: Count = 512,
        margin: NonNegative = 0.3,
        eps: NonNegative = 1.0,
        clamp: NonNegative = 0.1,
        alpha_label: NonNegative = 0.5,
        alpha_domain: NonNegative = 0.5,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        self.automatic_optimization = False  # each network has its optimiser
        self.head = nn.Linear(self.build_encoder(encoder), dim)
        nn.init.orthogonal_(self.head.weight)  # cosines start as the encoder's, if dim allows it
        nn.init.zeros_(self.head.bias)

    def build_training_parts(self) -> None:
        """Create the domain network."""
        if not self.encoder.frozen:
            self.domain_encoder = copy.deepcopy(self.encoder)
        self.domain_head = nn.Linear(self.encoder.dim, len(self.hparams.class_names))

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, dim)."""
        embedding: Tensor = self.head(self.encoder(images, side))
        return embedding

    def label_loss(self, images: Tensor, sides: Tensor) -> Tensor:
        """Triplet loss of (sketches, their photos, other photos), (3B, 3, H, W) in one call."""
        sketch, photo, negative = self.head(self.encoder(images, sides)).chunk(3)
        return triplet_loss(sketch, photo, negative, self.hparams.margin)

    def domain_loss(self, images: Tensor, sides: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the categories of images, (3B, 3, H, W)."""
        encoder = self.encoder if self.encoder.frozen else self.domain_encoder
        return cross_entropy(self.domain_head(encoder(images, sides)).float(), labels)

    def perturb(self, images: Tensor, loss: Tensor) -> Tensor:
        """Images as constants, moved to where a loss of them is higher by at most eps x clamp."""
        (gradient,) = torch.autograd.grad(loss, images, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise SketchClipError(
                f"{type(self.encoder).__name__} has no gradient with respect to images, by which "
                "CrossGrad changes them. Expected an encoder that computes it, such as "
                "--model.encoder TimmEncoder or CLIPImageEncoder."
            )
        limit = self.hparams.clamp
        return (images + self.hparams.eps * gradient.clamp(-limit, limit)).detach()

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Step both networks on a batch of (sketch, its photo, another photo of the class)."""
        assert batch.negative is not None  # by the pairing
        settings, labels = self.hparams, batch.label.repeat(3)
        images = torch.cat([batch.sketch, batch.photo, batch.negative]).requires_grad_()
        sides = torch.ones_like(labels)
        sides[: len(batch.sketch)] = 0

        label = self.label_loss(images, sides)
        domain = self.domain_loss(images, sides, labels)
        moved_label = self.label_loss(self.perturb(images, domain), sides)
        moved_domain = self.domain_loss(self.perturb(images, label), sides, labels)
        label_sum = (1 - settings.alpha_label) * label + settings.alpha_label * moved_label
        domain_sum = (1 - settings.alpha_domain) * domain + settings.alpha_domain * moved_domain
        loss = label_sum + domain_sum
        optimizers = cast(Any, self.optimizers())
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:  # the label network's first
            optimizer.step()
        logs = {"train/label": label, "train/domain": domain, "train/loss": loss}
        logs |= {"train/moved_label": moved_label, "train/moved_domain": moved_domain}
        self.log_losses(logs, len(batch.sketch))
        return loss

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam of the label network, and of the domain network."""
        own = [p for n, p in self.named_parameters() if not n.startswith(self.training_only)]
        domain = [p for n, p in self.named_parameters() if n.startswith(self.training_only)]
        groups = [[p for p in part if p.requires_grad] for part in (own, domain)]
        return [Adam(group, self.hparams.lr) for group in groups]
