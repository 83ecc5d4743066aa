"""Zero-shot prompt learning: the category-level model of Sain et al., CVPR 2023, section 3.

Two branches over one frozen CLIP; each learns K visual prompts and its own LayerNorms with a
triplet loss and a classification loss against the frozen text embeddings of the seen classes.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jsonargparse import lazy_instance
from torch import Tensor

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import NonNegative, Positive
from sketchclip.adaptations import Adaptation, IndependentPrompts
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.text_heads import TemplateText, TextHead
from sketchclip.clip.towers import AlsoTrain, LayerNormMode
from sketchclip.losses import other_class_positions, triplet_loss
from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.capacity import Capacity
from sketchclip.nn import compose


class ZeroShotPromptLearning(CLIPEncoderMixin, RetrievalModule):
    """Prompts + LayerNorm tuning for ZS-SBIR: L = L_triplet + lambda_cls (L_cls^s + L_cls^p).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        adaptation: Parameters that the branches learn beside LayerNorms.
        layer_norm: LayerNorms of each branch, one shared set (as all other weights, then), or
            frozen.
        also_train: Further weights: output projection (ClipPrompt), or everything that the
            released code leaves trainable by accident.
        margin: Triplet margin in cosine distance (released code: 0.2).
        negatives: Photos of another class drawn for each triplet, or taken from the positives of
            the batch, which saves a third of the images.
        lambda_cls: Weight of the classification losses; 0 turns them off.
        cls_temperature: Softmax temperature: clip for CLIP's own scale, raw for logit_scale without
            exp (ClipPrompt), or a number tau.
        text_head: Embedding of class names.
        capacity: Constraint on the mean cosine of each side's embeddings (MCC); null for none.
        prompt_lr: Learning rate of the adaptation and the text head (released code: 1e-4).
        ln_lr: Learning rate of CLIP's own weights that train (released code: 1e-6).
        grad_checkpointing: Recompute activations to save memory.
    """

    needs_images = False

    def __init__(
        self,
        class_names: Sequence[str],
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        adaptation: Adaptation = lazy_instance(IndependentPrompts),
        layer_norm: LayerNormMode = "per_branch",
        also_train: AlsoTrain = "nothing",
        margin: NonNegative = 0.3,
        negatives: Literal["random", "in_batch"] = "random",
        lambda_cls: NonNegative = 0.5,
        cls_temperature: Literal["clip", "raw"] | Positive = "clip",
        text_head: TextHead = lazy_instance(TemplateText),
        capacity: Capacity | None = None,
        prompt_lr: NonNegative = 1e-5,
        ln_lr: NonNegative = 1e-5,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["adaptation", "text_head", "capacity"])
        self.capacity = capacity if capacity is None else compose(self, "capacity", capacity)
        self.build_towers(
            backbone, pretrained, adaptation, layer_norm, also_train, grad_checkpointing
        )
        self.build_text_head(text_head, used=lambda_cls > 0)
        if negatives == "in_batch":
            self.training_batch = BatchSpec(pairing="class_pair")

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        settings = self.hparams
        sketch = self.embed_training(batch.sketch, "sketch", batch.features)
        if settings.negatives == "in_batch":
            photo = self.embed_training(batch.photo, "photo", batch.features)
            other = other_class_positions(batch.label, self.draws(batch_idx))
            # -1, where the batch has no other class, is left out.
            triplet = triplet_loss(sketch, photo, photo[other], settings.margin, other >= 0)
        else:
            assert batch.negative is not None  # by the pairing
            photos = torch.cat([batch.photo, batch.negative])
            both = self.embed_training(photos, "photo", batch.features)
            photo, negative = both.chunk(2)
            triplet = triplet_loss(sketch, photo, negative, settings.margin)
        loss = triplet
        logs = {"train/triplet": triplet}
        if settings.lambda_cls:
            classification = self.classification_losses(sketch, photo, batch.label)
            loss = loss + settings.lambda_cls * sum(classification.values())
            logs |= classification
        if self.capacity is not None:
            logs |= self.capacity(sketch, photo)
            loss = loss + logs["train/capacity"]
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss
