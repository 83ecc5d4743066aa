"""ZS-CCGAN: SEM-PCYC, Dutta and Akata, CVPR 2019.

Generators G_k map features x_k of a side k (sketch or photo) to the code c = E(w) of their class's
vector w, and F_k map back. In least squares games, r and f are noisy labels of what is real and
what is generated. For a pair of a batch, with means in place of sums over numbers of a vector:

- L_adv = sum over k of (D_c(G_k(x_k)) - r)^2 + (D_k(F_k(c)) - r)^2;
- L_cyc = sum over k of l_k |F_k(G_k(x_k)) - x_k| + l_c |G_k(F_k(c)) - c|;
- L_cls = sum over k of l_c CE(C_c(G_k(x_k)), y) + l_k CE(C_k(F_k(c)), y), C frozen and random;
- L_reg = 2 l_c |G_s(x_s) - G_p(x_p)|^2 + sum over k of l_k |F_k(c) - x_k|^2;
- L_D = .25 [2 (D_c(c) - r)^2 + sum over k of (D_c(G_k(x_k)) - f)^2]
  + .5 sum over k of (D_k(x_k) - r)^2 + (D_k(F_k(c)) - f)^2;
- L_AE = |R(E(w)) - w|^2 + .001 / B x the sum of the lengths of the columns of E's matrix.

Generators minimise L_adv + L_cyc + L_cls + .1 L_reg, discriminators L_D, the autoencoder L_AE.
Retrieval ranks G_k(x_k) by Euclidean distance. Released code: AnjanDutta/sem-pcyc.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from data_modules.batch import SIDES, BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative, NotAll, Part
from data_modules.transforms import Side
from sketchclip.clip.class_text import CLIPText
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import lsgan_loss
from sketchclip.methods.coded import CodedMethod
from sketchclip.nn import Discriminator, Generator, SemanticAutoencoder, call_constant, compose
from sketchclip.semantics import ClassSemantics


class SEMPCYC(CodedMethod):
    """Generators between features and codes of class vectors, tied by cycles and games (ZS-CCGAN).

    The released code steps autoencoder, generators and discriminators in turn after one forward. No
    step changes what a later loss reads: codes are constants to the generators, and discriminators
    judge the vectors of that forward and step last. So one backward of the sum, with discriminators
    as constants to the generators' loss, and codes and generated vectors to the discriminators',
    gives the same three steps. Lightning's global_step and trainer.max_steps count each of them.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Frozen encoder of both sides; the paper's was trained to classify the seen classes.
        semantics: Class vectors; the paper has word2vec beside an embedding of WordNet.
        dim: Numbers of a code; the released code's default is 128.
        bits: Length of binary codes by iterative quantisation; null for real codes.
        real_labels: Lowest and highest label of what is to be taken for real.
        fake_labels: Lowest and highest label of what is generated.
        lambda_semantic: Weight l_c of terms that compare or classify codes.
        lambda_sketch: Weight l_s of terms that compare or classify features of sketches.
        lambda_photo: Weight l_p of terms that compare or classify features of photos.
        lambda_adversarial: Weight of L_adv.
        lambda_cycle: Weight of L_cyc.
        lambda_cls: Weight of L_cls.
        lambda_regression: Weight of L_reg.
        lambda_discriminator_semantic: Weight of the game of codes in L_D.
        lambda_discriminator_sketch: Weight of the game of sketch features in L_D.
        lambda_discriminator_photo: Weight of the game of photo features in L_D.
        lambda_norm: Weight of the lengths of the columns in L_AE.
        lr: Learning rate of the generators' Adam.
        discriminator_lr: Learning rate of the discriminators' SGD.
        autoencoder_lr: Learning rate of the autoencoder's SGD.
        momentum: Momentum of both SGD.
    """

    training_batch = BatchSpec(pairing="class_pair", layout="classes")
    similarity = "euclidean"
    training_only: ClassVar[tuple[str, ...]] = (
        *("to_features.", "discriminators.", "classifiers.", "autoencoder.", "semantics."),
    )
    vectors: Tensor

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k", frozen=True),
        semantics: ClassSemantics = lazy_instance(CLIPText),
        dim: Count = 64,
        bits: Count | None = None,
        real_labels: tuple[Part, Part] = (0.7, 1.0),
        fake_labels: tuple[Part, Part] = (0.0, 0.3),
        lambda_semantic: NonNegative = 10.0,
        lambda_sketch: NonNegative = 10.0,
        lambda_photo: NonNegative = 10.0,
        lambda_adversarial: NonNegative = 1.0,
        lambda_cycle: NonNegative = 1.0,
        lambda_cls: NonNegative = 1.0,
        lambda_regression: NonNegative = 0.1,
        lambda_discriminator_semantic: NonNegative = 0.25,
        lambda_discriminator_sketch: NonNegative = 0.5,
        lambda_discriminator_photo: NonNegative = 0.5,
        lambda_norm: NonNegative = 1e-3,
        lr: NonNegative = 1e-4,
        discriminator_lr: NonNegative = 1e-4,
        autoencoder_lr: NonNegative = 1e-2,
        momentum: NotAll = 0.9,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder", "semantics"])
        self.automatic_optimization = False
        width = self.build_encoder(encoder)
        self.semantics = compose(self, "semantics", semantics)
        self.to_code = nn.ModuleDict({side: Generator(width, dim) for side in SIDES})
        self.build_codes(dim, bits)

    def build_training_parts(self) -> None:
        """Create the generators of features, discriminators, classifiers and the autoencoder."""
        names, dim, width = self.hparams.class_names, self.hparams.dim, self.encoder.dim
        self.register_buffer("vectors", self.semantics.vectors(names), persistent=False)
        self.autoencoder = SemanticAutoencoder(self.vectors.shape[1], dim)
        self.to_features = nn.ModuleDict({side: Generator(dim, width) for side in SIDES})
        widths = {"semantic": dim, "sketch": width, "photo": width}
        self.discriminators = nn.ModuleDict({n: Discriminator(w) for n, w in widths.items()})
        classifiers = {n: nn.Linear(w, len(names), bias=False) for n, w in widths.items()}
        self.classifiers = nn.ModuleDict(classifiers).requires_grad_(False)

    def real_embedding(self, images: Tensor, side: Side) -> Tensor:
        """Generate the codes of images of one side, (B, dim)."""
        return cast(Tensor, self.to_code[side](self.encoder(images, side)))

    def losses(
        self, features: dict[Side, Tensor], words: Tensor, label: Tensor, draws: torch.Generator
    ) -> dict[str, Tensor]:
        """Weigh the terms of all three optimisers.

        Args:
            features: Features of each side, (B, D).
            words: Vectors of their classes, (B, V).
            label: Classes, (B,), int64.
            draws: Source of noise and noisy labels, on the CPU.
        """
        settings, real, fake = self.hparams, self.hparams.real_labels, self.hparams.fake_labels
        weight = {name: settings[f"lambda_{name}"] for name in ("semantic", *SIDES)}
        coded, rebuilt = self.autoencoder(words)
        code = coded.detach()
        codes = {side: self.to_code[side](x) for side, x in features.items()}
        made = {side: self.to_features[side](code) for side in features}

        def taken(name: str, x: Tensor) -> Tensor:
            return lsgan_loss(call_constant(self.discriminators[name], x, draws), real, draws)

        def told(name: str, x: Tensor, labels: tuple[float, float]) -> Tensor:
            loss = lsgan_loss(self.discriminators[name](x.detach(), draws), labels, draws)
            return settings[f"lambda_discriminator_{name}"] * loss

        adversarial = cycle = cls = code.new_zeros(())
        regression = 2 * weight["semantic"] * F.mse_loss(codes["sketch"], codes["photo"])
        for side, x in features.items():
            adversarial = adversarial + taken("semantic", codes[side]) + taken(side, made[side])
            cycle = cycle + weight[side] * F.l1_loss(self.to_features[side](codes[side]), x)
            cycle = cycle + weight["semantic"] * F.l1_loss(self.to_code[side](made[side]), code)
            for name, vectors in (("semantic", codes[side]), (side, made[side])):
                cls = cls + weight[name] * F.cross_entropy(self.classifiers[name](vectors), label)
            regression = regression + weight[side] * F.mse_loss(made[side], x)
        semantic, games = 2 * told("semantic", code, real), {}
        for side, x in features.items():
            semantic = semantic + told("semantic", codes[side], fake)
            game = told(side, x, real) + told(side, made[side], fake)
            games[f"train/discriminator_{side}"] = game
        norms = settings.lambda_norm * self.autoencoder.column_norms() / len(label)
        return {
            "train/autoencoder": F.mse_loss(rebuilt, words) + norms,
            "train/adversarial": settings.lambda_adversarial * adversarial,
            "train/cycle": settings.lambda_cycle * cycle,
            "train/cls": settings.lambda_cls * cls,
            "train/regression": settings.lambda_regression * regression,
            "train/discriminator_semantic": semantic,
            **games,
        }

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Step all three optimisers on a batch of (sketch, photo of its class)."""
        given: dict[Side, Tensor] = {"photo": batch.photo, "sketch": batch.sketch}
        features = {side: self.encode(x, side, batch.features) for side, x in given.items()}
        words = self.vectors[batch.label]
        logs = self.losses(features, words, batch.label, self.draws(batch_idx))
        loss = torch.stack([*logs.values()]).sum()
        self.zero_grad()
        self.manual_backward(loss)
        for optimizer in cast(Any, self.optimizers()):
            optimizer.step()
        self.log_losses(logs | {"train/loss": loss}, len(words))
        return loss

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam of the generators, SGD of the discriminators and of the autoencoder."""
        settings, momentum = self.hparams, self.hparams.momentum
        generators = nn.ModuleList([self.encoder, self.to_code, self.to_features]).parameters()
        return [
            Adam([p for p in generators if p.requires_grad], settings.lr),
            SGD(self.discriminators.parameters(), settings.discriminator_lr, momentum),
            SGD(self.autoencoder.parameters(), settings.autoencoder_lr, momentum),
        ]
