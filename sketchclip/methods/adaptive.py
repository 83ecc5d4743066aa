"""The base of methods that adapt to the gallery and to each query before they embed them."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import (
    Weights,
    adapt_each,
    adapt_to_all,
    call,
    differentiable_twice,
    parameter_names,
)


class AdaptiveMethod(EncodedMethod):
    """Has fast weights: those of a part of the encoder, or of a residual layer behind it.

    The weights of the model itself never change in a test: what is adapted stands in for them, and
    is forgotten at its end. Search and exported models embed without it. A method has the settings
    ``photo_steps``, ``sketch_steps``, ``adapt_decoders``, ``adapt_in_validation`` and
    ``queries_at_once``, and the modules ``photo_decoder`` and ``sketch_decoder``.
    """

    adapted: Weights | None = None
    """Weights adapted to the gallery of an evaluation; None outside one."""
    residual: nn.Linear | None
    fast_names: list[str]
    log_rate: nn.Parameter
    """Logarithm of the rate of the steps."""

    @property
    def test_time_adaptation(self) -> dict[str, int]:
        """Steps on the gallery and on each query that results of an evaluation rest on."""
        return {n: self.hparams[n] for n in ("photo_steps", "sketch_steps")}

    @abstractmethod
    def embedding(self, feature: Tensor) -> Tensor:
        """Embeddings (B, D) that are compared, of features; what it adds is not adapted."""

    @abstractmethod
    def photo_target(self, photos: Tensor) -> Tensor:
        """What is decoded of photos, (B, 3, H, W)."""

    @abstractmethod
    def photo_loss(self, weights: Weights, feature: Tensor, target: Tensor) -> Tensor:
        """Mean loss of features of photos, by which the weights adapt to a gallery."""

    @abstractmethod
    def sketch_target(self, sketches: Tensor, strokes: Tensor | None) -> Tensor:
        """What is decoded of sketches, (B, 3, H, W), with strokes (B, N, 3)."""

    @abstractmethod
    def sketch_loss(self, weights: Weights, feature: Tensor, target: Tensor) -> Tensor:
        """Mean loss of features of sketches, by which the weights adapt to a query."""

    def build_fast_weights(self, encoder: ImageEncoder, adapt: str) -> int:
        """Take the encoder of the constructor and choose the fast weights.

        Args:
            encoder: Of the constructor.
            adapt: layer for a residual layer, which a frozen encoder always has; else see
                :func:`~sketchclip.nn.parameter_names`.

        Returns:
            Numbers of a feature.
        """
        width = self.build_encoder(encoder)
        self.residual = nn.Linear(width, width) if self.encoder.frozen or adapt == "layer" else None
        if self.residual is None:
            self.fast_names = [f"encoder.{n}" for n in parameter_names(self.encoder, adapt)]
        else:
            self.fast_names = ["residual.weight", "residual.bias"]
            for parameter in self.residual.parameters():
                nn.init.zeros_(parameter)  # the encoder starts as it is
        return width

    def weights(self, *prefixes: str) -> Weights:
        """The fast weights, and the parameters whose names start with a prefix, as they are."""
        more = [n for n, _ in self.named_parameters() if n.startswith(prefixes or (" ",))]
        return {name: self.get_parameter(name) for name in (*self.fast_names, *more)}

    def trunk(self, images: Tensor, side: Side) -> Tensor:
        """What fast weights work on: the images, or the features that the layer reads."""
        return images if self.residual is None else self.encoder(images, side)

    def feature(self, weights: Weights, values: Tensor, side: Side) -> Tensor:
        """Features (B, D) of what :meth:`trunk` gives, by other weights than the model's own."""
        if self.residual is None:
            return call(self.encoder, "encoder.", weights, values, side)
        return values + call(self.residual, "residual.", weights, values)

    def grey(self, images: Tensor) -> Tensor:
        """Lightness of normalised images in [0, 1], (B, 1, H, W)."""
        steps = self.preprocessing
        mean, std = (images.new_tensor(c).view(-1, 1, 1) for c in (steps.mean, steps.std))
        return (images * std + mean).mean(1, keepdim=True)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side without adaptation, (B, D)."""
        return self._embedding({}, self.trunk(images, side), side)

    def _embedding(self, weights: Weights, values: Tensor, side: Side) -> Tensor:
        return self.embedding(self.feature(weights, values, side))

    def gallery_state(self, images: Tensor) -> Tensor:
        """Embed photos, in an evaluation by weights that are adapted to all of them."""
        return self._embedding(self.adapted or {}, self.trunk(images, "photo"), "photo")

    def query_state(self, images: Tensor, strokes: Tensor | None = None) -> Tensor:
        """Embed sketches, in an evaluation each by weights that are adapted to it alone."""
        if self.adapted is None:
            return self.embed(images, "sketch")

        def loss(weights: Weights, values: Tensor, target: Tensor) -> Tensor:
            return self.sketch_loss(weights, self.feature(weights, values, "sketch"), target)

        def embed(weights: Weights, values: Tensor, target: Tensor) -> Tensor:
            return self._embedding(weights, values, "sketch")

        with torch.inference_mode(False), torch.no_grad(), differentiable_twice():
            images = images.clone()  # no derivative takes a tensor of inference mode
            samples = self.trunk(images, "sketch"), self.sketch_target(images, strokes).clone()
            start = self._start("sketch_decoder.") | {n: self.adapted[n] for n in self.fast_names}
            steps = (self.log_rate.exp(), self.hparams.sketch_steps, self.hparams.queries_at_once)
            return adapt_each(loss, embed, start, samples, *steps)

    def _start(self, decoder: str) -> Weights:
        return self.weights(decoder) if self.hparams.adapt_decoders else self.weights()

    @torch.inference_mode(False)
    @torch.no_grad()
    def _meet(self, loaders: Any, sizes: Sequence[float]) -> None:
        loader, trainer = loaders[1], self.trainer
        size = loader.batch_sampler.batch_size
        count = min(len(loader.dataset), int(sizes[1] * size * trainer.world_size))
        images = DataLoader(
            Subset(loader.dataset, range(count)),
            size,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for batch in images:
                found: Any = trainer.strategy.batch_to_device(batch, dataloader_idx=1)
                if (read := found.index >= 0).any():
                    photos = found.image[read]
                    yield self.trunk(photos, "photo"), self.photo_target(photos)

        def loss(weights: Weights, values: Tensor, target: Tensor) -> Tensor:
            return self.photo_loss(weights, self.feature(weights, values, "photo"), target)

        # What a layer reads is the same in each step: photos are read and embedded once.
        known = None if self.residual is None else [*batches()]
        with differentiable_twice():
            rate, start = self.log_rate.exp(), self._start("photo_decoder.")
            passes = batches if known is None else lambda: known
            self.adapted = adapt_to_all(loss, start, passes, rate, self.hparams.photo_steps)

    def on_test_start(self) -> None:
        """Adapt to the photos of the test."""
        super().on_test_start()
        self._meet(self.trainer.test_dataloaders, self.trainer.num_test_batches)

    def on_predict_start(self) -> None:
        """Adapt to the photos that are embedded."""
        super().on_predict_start()
        self._meet(self.trainer.predict_dataloaders, self.trainer.num_predict_batches)

    def on_validation_start(self) -> None:
        """Adapt to the photos of the validation; within fit only if asked for."""
        super().on_validation_start()
        trainer = self.trainer
        wanted = self.hparams.adapt_in_validation and not trainer.sanity_checking
        if wanted or trainer.state.fn != TrainerFn.FITTING:
            self._meet(trainer.val_dataloaders, trainer.num_val_batches)

    def on_test_end(self) -> None:
        """Forget what was adapted."""
        self.adapted = None

    on_validation_end = on_test_end
    on_predict_end = on_test_end
