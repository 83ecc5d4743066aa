"""MARL: modality-aware representation learning, Lyou et al., WACV 2024.

CLIP as a whole trains on single images, sketches and photos mixed, and their captions. With unit
embeddings i of an image and t of its caption and a learned vector m_k of each mode k (photo,
sketch, text), s = normalise(i + t) is what both share and i - m, t - m are to be:

L = (L_clip + .1 L_sem + .1 L_disc + .02 L_rec + 0 L_orth) / sum of the weights above 0

- L_clip: CLIP's own contrast of the images and the captions of a batch;
- L_sem: i - m and t - m point to s;
- L_disc: a linear classifier tells the mode that an embedding was converted to;
- L_rec: an image converted to text is its caption, a caption converted to its image's mode that;
- L_orth: s has other dimensions than the modes.

Retrieval converts a sketch to a photo, normalise(i - m_sketch + m_photo). Released code:
eunyi-lyou/MA-ZS-SBIR.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from data_modules.batch import BatchSpec, ImageBatch
from data_modules.ranges import Finite, NonNegative, Part
from data_modules.transforms import Side
from sketchclip.adaptations import FullFineTuning
from sketchclip.clip.captions import CaptionEncoder
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.errors import SketchClipError
from sketchclip.losses import (
    converted,
    mode_loss,
    orthogonality_loss,
    reconstruction_loss,
    shared_semantics_loss,
    weighted_mean,
)
from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.schedules import warmed_up
from sketchclip.semantics.class_names import spoken

PHOTO, SKETCH = 0, 1
"""Rows of the modes; texts have the rows behind them."""


class MARL(CLIPEncoderMixin, RetrievalModule):
    """CLIP with a vector for each mode, by which sketches become photos (MARL, MA-SBIR).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        retrieval: converted turns a sketch into a photo before it is compared; plain does not.
        captions: shared has "a photo of a NAME." for both sides and one text mode, as the readable
            lists of the release do; own has "a sketch of a NAME." and a text mode of its own for
            sketches.
        modes: Number of modes; 3 leaves out the text mode that shared captions do not use.
        mode_std: Standard deviation of the modes at the start, where they decide what a sketch is
            converted to until they have shrunk; a short run needs less.
        logit_scale: Logarithm of CLIP's inverse temperature at the start.
        lambda_clip: Weight of L_clip.
        lambda_semantic: Weight of L_sem.
        lambda_mode: Weight of L_disc.
        lambda_reconstruct: Weight of L_rec.
        lambda_orthogonal: Weight of L_orth.
        clip_lr: Learning rate of CLIP's weights, both towers and temperature.
        mode_lr: Learning rate of the modes and their classifier.
        weight_decay: Weight decay of AdamW on all of them.
        warmup: Part of the steps in which the rates rise to theirs, where they stay.
        grad_checkpointing: Recompute activations of the vision tower to save memory.
    """

    training_batch = BatchSpec(pairing="singles", sketch_ratio=None)
    training_only: ClassVar[tuple[str, ...]] = ("text.", "mode_classifier.")
    test_settings = ("retrieval",)

    def __init__(
        self,
        class_names: Sequence[str],
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        retrieval: Literal["converted", "plain"] = "converted",
        captions: Literal["shared", "own"] = "shared",
        modes: Literal[3, 4] = 4,
        mode_std: NonNegative = 1.0,
        logit_scale: Finite = 2.6592,
        lambda_clip: NonNegative = 1.0,
        lambda_semantic: NonNegative = 0.1,
        lambda_mode: NonNegative = 0.1,
        lambda_reconstruct: NonNegative = 0.02,
        lambda_orthogonal: NonNegative = 0.0,
        clip_lr: NonNegative = 5e-8,
        mode_lr: NonNegative = 5e-3,
        weight_decay: NonNegative = 0.1,
        warmup: Part = 0.05,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.build_towers(
            backbone, pretrained, FullFineTuning(), grad_checkpointing=grad_checkpointing
        )
        _check(self.hparams)
        self.modes = nn.Parameter(mode_std * torch.randn(modes, self.dim))

    def build_training_parts(self) -> None:
        """Create the text encoder that trains and the classifier of modes."""
        super().build_training_parts()
        self.text = CaptionEncoder(self.clip, self.hparams.logit_scale)
        self.mode_classifier = nn.Linear(self.dim, self.hparams.modes)

    def setup(self, stage: str) -> None:
        """Tokenize the captions of the seen classes."""
        super().setup(stage)
        if stage == "fit":
            words = ("sketch", "photo") if self.hparams.captions == "own" else ("photo",)
            names = [spoken(name) for name in self.hparams.class_names]
            sentences = [f"a {word} of a {name}." for word in words for name in names]
            self.text.prepare(self.backbone, sentences)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side; sketches as photos if retrieval is converted. (B, D)."""
        embedding = normalize(super().embed(images, side).float(), dim=-1)
        if side == "sketch" and self.hparams.retrieval == "converted":
            mode = torch.full((len(embedding),), SKETCH, device=embedding.device)
            return converted(embedding, self.modes, mode)[:, PHOTO]
        return embedding

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """Loss of a batch of single sketches and photos with their captions."""
        settings, sides = self.hparams, batch.side
        assert sides is not None  # by the pairing
        image = normalize(self.photo_tower(batch.image).float(), dim=-1)
        text_mode = torch.full_like(sides, settings.modes - 1)
        caption = batch.label
        if settings.captions == "own":
            caption = caption + sides * len(settings.class_names)
            text_mode = text_mode - sides
        text = normalize(self.text(caption).float(), dim=-1)
        of = torch.stack([torch.where(sides == 0, SKETCH, PHOTO), text_mode])

        images, texts = image, text
        if self.trainer.world_size > 1:  # the captions of all processes are negatives
            gathered: Any = self.all_gather((image, text), sync_grads=True)
            images, texts = (values.flatten(0, 1) for values in gathered)
        logits = self.text.clip.logit_scale.exp() * images @ texts.T
        pairs = torch.arange(len(logits), device=logits.device)
        contrast = (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2

        image_as = converted(image, self.modes, of[0])
        text_as = converted(text, self.modes, of[1])
        told = [
            mode_loss(self.mode_classifier(values), mode)
            for values, mode in ((image_as, of[0]), (text_as, of[1]))
        ]
        losses = {
            "clip": contrast,
            "semantic": shared_semantics_loss(image, text, self.modes, of),
            "mode": (told[0] + told[1]) / 2,
            "reconstruct": reconstruction_loss(image, text, image_as, text_as, of),
            "orthogonal": orthogonality_loss(image, text, self.modes),
        }
        loss = weighted_mean(losses, {name: settings[f"lambda_{name}"] for name in losses})
        logs = {f"train/{name}": value for name, value in losses.items()}
        self.log_losses(logs | {"train/loss": loss}, len(sides))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of CLIP's weights, and of modes and their classifier."""
        new = [self.modes, *self.mode_classifier.parameters()]
        known = {id(parameter) for parameter in new}
        old = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        rates = (self.hparams.clip_lr, self.hparams.mode_lr)
        return [{"params": p, "lr": rate} for p, rate in zip((old, new), rates, strict=True)]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a warm-up in a straight line, then constant rates."""
        decay = self.hparams.weight_decay
        optimizer = torch.optim.AdamW(self.parameter_groups(), eps=1e-6, weight_decay=decay)
        return warmed_up(optimizer, self.trainer, self.hparams.warmup)


def _check(settings: Any) -> None:
    """Refuse settings that do not go together."""
    weights = {name: value for name, value in settings.items() if name.startswith("lambda_")}
    if min(weights.values()) < 0 or not sum(weights.values()):
        raise SketchClipError(
            f"MARL has the weights {weights}: expected none below 0 and one above. Set "
            "--model.lambda_clip and its like."
        )
    if settings.captions == "own" and settings.modes < 4:
        raise SketchClipError(
            f"model.captions=own gives each side a text mode, found model.modes={settings.modes}. "
            "Use --model.modes 4."
        )
