"""The base of methods that take any image encoder, CLIP's tower included."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from data_modules.batch import BatchSpec, Channels
from data_modules.transforms import Interpolation, Side
from sketchclip.encoders import ImageEncoder, TwinEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods.base import RetrievalModule
from sketchclip.nn import compose, inherit_classifier


class EncodedMethod(RetrievalModule):
    """Has an encoder, whose preprocessing and identity are those of the method.

    A method calls :meth:`build_encoder` in its constructor. Behind a frozen encoder it trains on
    features that are computed once, unless ``needs_images`` says otherwise.
    """

    encoder: ImageEncoder
    needs_images: bool = False
    """Whether training works on the images themselves also behind a frozen encoder."""
    hparams: Any
    _loaded = False

    def build_encoder(self, encoder: ImageEncoder, twins: bool = False) -> int:
        """Take the encoder of the constructor.

        Args:
            encoder: Of the constructor.
            twins: Whether each side has a copy of its own; two frozen ones would stay equal.

        Returns:
            Numbers of its embedding.
        """
        self.encoder = compose(self, "encoder", encoder)
        self.training_classes = list(self.encoder.training_classes)
        self.training_data = list(self.encoder.training_data)
        if twins and not self.encoder.frozen:
            self.encoder = TwinEncoder(self.encoder)
        return self.encoder.dim

    def encode(self, values: Tensor, side: Side | Tensor, features: bool = False) -> Tensor:
        """Embed what a training batch holds: images, or features of the frozen encoder, (B, D)."""
        return values if features else self.encoder(values, side)

    def inherit(self, layer: nn.Linear, head: nn.Linear, weight: Tensor) -> None:
        """Start a layer and a head over it as the best approximation of a classifier, (C, F).

        The layer of a checkpoint that was loaded before, as for fine-tuning, stays as it is.
        """
        inherit_classifier(copy.deepcopy(layer) if self._loaded else layer, head, weight)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.encoder.image_size

    @property
    def mean(self) -> Channels:
        """Mean of each channel, in [0, 1]."""
        return self.encoder.mean

    @property
    def std(self) -> Channels:
        """Standard deviation of each channel, in [0, 1]."""
        return self.encoder.std

    @property
    def interpolation(self) -> Interpolation:
        """Interpolation of resizing to image_size."""
        return self.encoder.interpolation

    @property
    def identity(self) -> dict[str, str] | None:
        """Name, weights and hash of the frozen encoder; None where it trains."""
        return self.encoder.identity

    @property
    def origin(self) -> dict[str, str]:
        """Name, weights and hash of the encoder before training."""
        return self.encoder.origin

    @property
    def batch_spec(self) -> BatchSpec:
        """Request to the data module: features behind a frozen encoder."""
        cached = None if self.needs_images or self.identity is None else self.identity["hash"]
        return replace(super().batch_spec, features=cached)

    def setup(self, stage: str) -> None:
        """Refuse images that the encoder does not take as they are, and what steps cannot do."""
        wanted, given = self.encoder.preprocessing, self.preprocessing
        if wanted is not None and wanted != given:
            raise SketchClipError(
                f"The encoder was trained on images prepared as {wanted}, found {given}. Set "
                f"--data.resize {wanted.resize}, and --data.normalization as in its own run."
            )
        if not self.automatic_optimization:
            _check_manual(self.trainer)
        super().setup(stage)

    def on_fit_start(self) -> None:
        """Embed the training images once behind a frozen encoder."""
        super().on_fit_start()
        trainer: Any = self.trainer
        if trainer.datamodule is not None and self.batch_spec.features is not None:
            trainer.datamodule.cache_features(self.encoder)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout, so that a resumed run draws what an uninterrupted one does."""
        # Not the seed of draws(): its numbers would be those that dropout decides by.
        torch.manual_seed(self.draws(batch_idx).initial_seed() + 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write which frozen encoder the tensors belong to.

        One that trained is among the tensors: whoever loads them needs no file of its weights.
        """
        super().on_save_checkpoint(checkpoint)
        checkpoint["backbone"] = self.identity and dict(self.identity)
        checkpoint["origin"] = dict(self.origin)
        if self.identity is None:
            settings = checkpoint["hyper_parameters"]["encoder"]["init_args"]
            settings |= {"pretrained": "random"} if "pretrained" in settings else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another frozen encoder before any tensor is compared."""
        theirs, ours = checkpoint.get("backbone") or {}, self.identity or {}
        if theirs.get("hash") != ours.get("hash"):
            raise SketchClipError(
                f"Checkpoint is of another encoder: this model has {ours or 'one that trains'}, "
                f"the checkpoint {theirs or 'one that trains'}. Pass the --model.encoder that it "
                "was trained with (see config.yaml of its run)."
            )
        origin = checkpoint.get("origin") or self.origin
        # What teachers are made of, and no checkpoint holds; retrieval does not need it.
        if self._training_parts_built and origin["hash"] != self.origin["hash"]:
            raise SketchClipError(
                f"Training started from {origin} and cannot go on from {self.origin}. Pass the "
                "--model.encoder of its config.yaml, with the same weights and seed."
            )
        super().on_load_checkpoint(checkpoint)
        self._loaded = True


def _check_manual(trainer: Any) -> None:
    """Refuse options of the trainer that several optimisers with one backward do not go with."""
    found = {
        "gradient_clip_val": trainer.gradient_clip_val,
        "accumulate_grad_batches": trainer.accumulate_grad_batches != 1,
        "precision": trainer.precision == "16-mixed",  # its scale may change between the steps
    }
    told = [f"trainer.{name}={getattr(trainer, name)}" for name, on in found.items() if on]
    if told:
        raise SketchClipError(
            f"{', '.join(told)}: the method steps several optimisers after one backward. Expected "
            "no clipping, no accumulation, and precision 32-true or bf16-mixed."
        )
