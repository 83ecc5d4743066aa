"""Fine-grained prompt learning: the cross-category model of Sain et al., CVPR 2023, section 4.

One encoder with common prompts for sketches and photos learns to find the one photo that a sketch
was drawn from: a triplet loss within the class, classification against the frozen text embeddings
of the seen classes, equal relative distances in all of them, and corresponding patches.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jsonargparse import lazy_instance
from torch import Tensor

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative, Positive
from sketchclip.adaptations import Adaptation, CommonPrompts
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.text_heads import TemplateText, TextHead
from sketchclip.clip.towers import AlsoTrain, LayerNormMode
from sketchclip.errors import SketchClipError
from sketchclip.losses import (
    cosine_distance,
    draw_permutations,
    f_divergence,
    hardest_negatives,
    patch_shuffle,
    triplet_loss,
)
from sketchclip.losses.divergence import DeltaOrder
from sketchclip.methods.base import RetrievalModule


class FineGrainedPromptLearning(CLIPEncoderMixin, RetrievalModule):
    """Common prompts + LayerNorm tuning for FG-ZS-SBIR.

    L = L_hard + lambda_cls (L_cls^s + L_cls^p) + lambda_delta L_delta + lambda_ps L_PS.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        adaptation: Parameters that the encoder learns beside LayerNorms.
        layer_norm: One set of LayerNorms (and of all other weights), one for each side, or frozen.
        also_train: Further weights: output projection, or what the released code of the
            category-level model leaves trainable by accident.
        margin: Margin of the triplet loss in cosine distance.
        negatives: Another photo of the class drawn for each sketch, or the nearest one in the
            batch.
        lambda_cls: Weight of the classification losses; 0 turns them off.
        cls_temperature: Softmax temperature: clip for CLIP's own scale, raw for logit_scale without
            exp (ClipPrompt), or a number tau.
        text_head: Embedding of class names.
        lambda_delta: Weight of the f-divergence between the classes' relative distances; 0 turns it
            off.
        delta_temperature: Divides relative distances before their softmax.
        delta_order: Compare distances as they were sampled, or in ascending order.
        delta_gather: Compare the classes of all processes instead of those of each by itself.
        lambda_ps: Weight of the patch-shuffling loss; 0 turns it off.
        patches: Blocks n along a side; 1 has nothing to shuffle and turns the loss off.
        ps_margin: Margin of the patch-shuffling loss; the paper gives none.
        ps_negative: The same photo in another order of patches, or the negative in that order.
        ps_scope: Permutations for each sample, or the same two for a batch.
        prompt_lr: Learning rate of the adaptation and the text head.
        ln_lr: Learning rate of CLIP's own weights that train.
        grad_checkpointing: Recompute activations to save memory.
    """

    instance_level = True
    training_batch = BatchSpec(pairing="instance_triplet", layout="classes")

    def __init__(
        self,
        class_names: Sequence[str],
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        adaptation: Adaptation = lazy_instance(CommonPrompts),
        layer_norm: LayerNormMode = "shared",
        also_train: AlsoTrain = "nothing",
        margin: NonNegative = 0.3,
        negatives: Literal["random_same_class", "batch_hard"] = "random_same_class",
        lambda_cls: NonNegative = 0.5,
        cls_temperature: Literal["clip", "raw"] | Positive = "clip",
        text_head: TextHead = lazy_instance(TemplateText),
        lambda_delta: NonNegative = 0.1,
        delta_temperature: Positive = 1.0,
        delta_order: DeltaOrder = "as_sampled",
        delta_gather: bool = False,
        lambda_ps: NonNegative = 1.0,
        patches: Count = 2,
        ps_margin: NonNegative = 0.3,
        ps_negative: Literal["same_photo", "hard_negative"] = "same_photo",
        ps_scope: Literal["sample", "batch"] = "sample",
        prompt_lr: NonNegative = 1e-5,
        ln_lr: NonNegative = 1e-5,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["adaptation", "text_head"])
        self.needs_images = lambda_ps > 0 and patches > 1
        self.build_towers(
            backbone, pretrained, adaptation, layer_norm, also_train, grad_checkpointing
        )
        self.build_text_head(text_head, used=lambda_cls > 0)
        if not 1 <= patches <= self.image_size:
            raise SketchClipError(
                f"model.patches={patches}: expected a number of blocks along a side, 2 in the "
                f"paper, at most the {self.image_size} pixels of an image."
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of P classes x K triplets (sketch, its photo, another photo of the class)."""
        assert batch.negative is not None  # by the pairing
        assert batch.instance is not None
        settings = self.hparams
        sketch = self.embed_training(batch.sketch, "sketch", batch.features)
        both = self.embed_training(
            torch.cat([batch.photo, batch.negative]), "photo", batch.features
        )
        photo, negative = both.chunk(2)
        if settings.negatives == "batch_hard":
            negative = hardest_negatives(sketch, photo, negative, batch.label, batch.instance)

        hard = triplet_loss(sketch, photo, negative, settings.margin)
        loss = hard
        logs = {"train/hard": hard}
        if settings.lambda_cls:
            classification = self.classification_losses(sketch, photo, batch.label)
            loss = loss + settings.lambda_cls * sum(classification.values())
            logs |= classification
        if settings.lambda_delta:
            delta = cosine_distance(sketch, photo) - cosine_distance(sketch, negative)
            labels = batch.label
            if settings.delta_gather:
                gathered: Any = self.all_gather((delta, labels), sync_grads=True)
                delta, labels = (values.flatten() for values in gathered)
            divergence = f_divergence(
                delta, labels, settings.delta_temperature, settings.delta_order
            )
            loss = loss + settings.lambda_delta * divergence
            logs["train/delta"] = divergence
        if self.needs_images:
            shuffled = self.patch_shuffle_loss(batch, batch_idx)
            loss = loss + settings.lambda_ps * shuffled
            logs["train/ps"] = shuffled
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss

    def patch_shuffle_loss(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """L_PS: a shuffled sketch is nearer to its photo shuffled alike than to another order.

        Args:
            batch: Normalised images.
            batch_idx: Seeds the permutations, so that a resumed run draws the same.
        """
        settings, draws = self.hparams, self.draws(batch_idx)
        same = settings.ps_scope == "batch"
        first, second = draw_permutations(len(batch.sketch), settings.patches, draws, same)
        assert batch.negative is not None  # by the pairing
        other = batch.photo if settings.ps_negative == "same_photo" else batch.negative
        photos = [patch_shuffle(batch.photo, first), patch_shuffle(other, second)]
        photo, negative = self.embed(torch.cat(photos), "photo").chunk(2)
        sketch = self.embed(patch_shuffle(batch.sketch, first), "sketch")
        return triplet_loss(sketch, photo, negative, settings.ps_margin)
