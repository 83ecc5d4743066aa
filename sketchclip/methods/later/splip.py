"""SpLIP: multi-modal prompt learning, Singha et al., ECCV 2024; from two readings of the text.

No training code is public. Text and visual tower of one frozen CLIP prompt each other at every
layer, see :class:`~sketchclip.clip.TextGuidedPrompts`; the LayerNorms of both train. With unit
vectors s of a sketch of class y, p of a photo of y and n of a photo of class z, d(a, b) = 2 - 2
a . b, texts T of the seen classes, and a solver F of jigsaws over a permuted sketch s':

L_tri   = mean max(0, d(s, p) - d(s, n) + mu(y, z)), mu the cosine of the classes' frozen texts
L_class = mean over e of s, p and n of CE(e . T / tau, class of e)
L_cjs   = CE(F(s, s'), j) + mean max(0, CE(F(p, s'), j) - CE(F(n, s'), j)), j the permutation
L       = L_tri + lambda_cls L_class + lambda_jigsaw L_cjs
"""

from collections.abc import Sequence
from math import factorial
from typing import Any, ClassVar, Literal

import torch
from jsonargparse import lazy_instance
from torch import Tensor
from torch.nn.functional import normalize

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative, Positive
from sketchclip.checkpoint import pretrained_networks
from sketchclip.clip import TextGuidedPrompts
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.text import encode_classes
from sketchclip.clip.towers import LayerNormMode
from sketchclip.errors import SketchClipError
from sketchclip.losses import (
    class_margins,
    conditional_jigsaw_loss,
    margin_triplet_loss,
    patch_shuffle,
    permutation_bank,
    text_classification_loss,
)
from sketchclip.losses.adaptive import UnitDistance
from sketchclip.methods.base import RetrievalModule
from sketchclip.nn import JigsawSolver


class SpLIP(CLIPEncoderMixin, RetrievalModule):
    """Towers that prompt each other, a margin by class, jigsaws (SpLIP), category level.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        adaptation: Prompts of both towers and the maps that make them.
        layer_norm: Visual LayerNorms of both sides in one set, a set for each side, or LayerNorms
            of both towers frozen; else those of the text tower train, too.
        lambda_triplet: Weight of the triplet loss; 0 turns it off.
        margin: formula for the cosine of the two classes' frozen texts, or a number; null for the
            formula at category level and 0.2 at instance level, where the formula gives 1.
        distance: squared for 2 - 2 cos, cosine for half of it.
        lambda_cls: Weight alpha of the classification losses; 0 turns them off.
        temperature: Temperature tau of their softmax: a number, or clip for CLIP's own (0.01).
        lambda_jigsaw: Weight beta of the jigsaw; 0 turns it off.
        permutations: Number of fixed permutations of blocks.
        blocks: Blocks along a side of a permuted sketch.
        lr: Learning rate of Adam for maps and solver (paper: 1e-3 for all).
        lr_ln: Learning rate of the LayerNorms.
        grad_checkpointing: Recompute the visual tower's activations to save memory.
    """

    training_only: ClassVar[tuple[str, ...]] = ("adaptation.guide.", "solver.", "bank")
    adaptation: TextGuidedPrompts
    bank: Tensor
    texts: Tensor

    def __init__(
        self,
        class_names: Sequence[str],
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        adaptation: TextGuidedPrompts = lazy_instance(TextGuidedPrompts),
        layer_norm: LayerNormMode = "shared",
        lambda_triplet: NonNegative = 1.0,
        margin: Literal["formula"] | NonNegative | None = None,
        distance: UnitDistance = "squared",
        lambda_cls: NonNegative = 1.0,
        temperature: Literal["clip"] | Positive = 0.07,
        lambda_jigsaw: NonNegative = 0.5,
        permutations: Count = 100,
        blocks: Count = 3,
        lr: NonNegative = 1e-3,
        lr_ln: NonNegative = 1e-4,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["adaptation"])
        if lambda_jigsaw and not (blocks > 1 and 0 < permutations < factorial(blocks**2)):
            raise SketchClipError(
                f"model.blocks={blocks}, model.permutations={permutations}: expected at least 2 "
                "blocks along a side and at most as many permutations as they have, 23 of 2 x 2. "
                "The default is 100 of 3 x 3; --model.lambda_jigsaw 0 turns the jigsaw off."
            )
        if not any((lambda_triplet, lambda_cls, lambda_jigsaw)):
            raise SketchClipError(
                "model.lambda_triplet, lambda_cls and lambda_jigsaw are all 0: expected a loss."
            )
        self.build_towers(
            backbone, pretrained, adaptation, layer_norm, grad_checkpointing=grad_checkpointing
        )
        self.adaptation.connect(self.clip, backbone, layer_norm != "none", lambda_cls > 0)
        if self.adaptation.guide is not None:  # embeds images, too
            self.training_only = type(self).training_only[1:]  # type: ignore[misc]

    def build_training_parts(self) -> None:
        """Create maps and text tower, and the jigsaw with its solver."""
        self.adaptation.build_guide(self.clip, self.backbone)
        if self.hparams.lambda_jigsaw:
            bank = permutation_bank(self.hparams.permutations, self.hparams.blocks)
            self.register_buffer("bank", bank)
            self.solver = JigsawSolver(self.dim, len(bank))

    def setup(self, stage: str) -> None:
        """Read the names of the seen classes once; testing needs no class name at all."""
        super().setup(stage)
        if stage == "fit":
            self.read_names()

    def read_names(self) -> None:
        """Tokenize the seen classes, and embed them for the margins."""
        names, template = self.hparams.class_names, f"{self.adaptation.photo_words} {{}}"
        self.adaptation.read_names(self.backbone, names)
        texts = encode_classes(self.clip, self.backbone, names, template)
        self.register_buffer("texts", texts, persistent=False)

    def on_fit_start(self) -> None:
        """Count all classes of the text tower as trained on: none of them may be measured."""
        self.training_classes = sorted({*self.training_classes, *self.hparams.class_names})
        super().on_fit_start()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the solver's dropout, so that a resumed run draws what an uninterrupted one does."""
        torch.manual_seed(self.draws(batch_idx).initial_seed() + 1)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo, another photo)."""
        assert batch.negative is not None  # by the pairing
        settings, label = self.hparams, batch.label
        other = label if self.instance_level else batch.negative_label
        assert other is not None  # by the pairing
        sketches, photos = batch.sketch, torch.cat([batch.photo, batch.negative])
        prompts_s, texts_s = self.adaptation.guided(sketches, "sketch")
        prompts_p, texts_p = self.adaptation.guided(photos, "photo")
        if settings.lambda_jigsaw:
            draws = torch.rand(len(label), generator=self.draws(batch_idx))
            chosen = (draws * len(self.bank)).long().to(label.device)
            permuted = patch_shuffle(sketches, self.bank[chosen], fit="resize")
            sketches = torch.cat([sketches, permuted])
        embedded = normalize(self.sketch_tower(sketches, prompts_s).float(), dim=1)
        s, *moved = embedded.split(len(label))
        p, n = normalize(self.photo_tower(photos, prompts_p).float(), dim=1).chunk(2)

        parts: dict[str, Tensor] = {}
        if settings.lambda_triplet:
            triplet = margin_triplet_loss(s, p, n, self._margin(label, other), settings.distance)
            parts["train/triplet"] = settings.lambda_triplet * triplet
        if settings.lambda_cls:
            assert texts_s is not None and texts_p is not None  # noqa: PT018  the guide reads out
            scale = self.logit_scale(settings.temperature)
            given = ((s, texts_s, label), (p, texts_p, label), (n, texts_p, other))
            said = [text_classification_loss(e, texts, y, scale) for e, texts, y in given]
            parts["train/classes"] = settings.lambda_cls * torch.stack(said).mean()
        if settings.lambda_jigsaw:
            own, near, far = (self.solver(whole, moved[0]) for whole in (s, p, n))
            jigsaw = conditional_jigsaw_loss(own, near, far, chosen)
            parts["train/jigsaw"] = settings.lambda_jigsaw * jigsaw
        loss = torch.stack([*parts.values()]).sum()
        self.log_losses(parts | {"train/loss": loss}, len(label))
        return loss

    def _margin(self, label: Tensor, other: Tensor) -> Tensor | float:
        margin, usual = self.hparams.margin, 0.2 if self.instance_level else "formula"
        margin = usual if margin is None else margin
        return class_margins(self.texts, label, other) if margin == "formula" else float(margin)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of maps and solver, and of the LayerNorms of both towers."""
        norms = {id(p) for _, net in pretrained_networks(self) for p in net.parameters()}
        trained = [p for p in self.parameters() if p.requires_grad]
        new = [p for p in trained if id(p) not in norms]
        old = [p for p in trained if id(p) in norms]
        return [{"params": new, "lr": self.hparams.lr}, {"params": old, "lr": self.hparams.lr_ln}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the prompts that images are embedded with, in the state of the maps."""
        self.adaptation.refresh()  # into the tensors that the checkpoint refers to
        super().on_save_checkpoint(checkpoint)


class SpLIPFineGrained(SpLIP):
    """SpLIP at instance level: the positive is the sketch's photo, the negative of its class."""

    instance_level = True
    training_batch = BatchSpec(pairing="instance_triplet")
