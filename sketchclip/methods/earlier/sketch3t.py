"""ZS-Sketch3T: test-time training, Sain et al., CVPR 2022; a reimplementation from the text.

No code is public; constants and the forms below are choices. An encoder e with fast weights w
embeds both sides; a head h on it is compared, decoders draw a sketch's strokes and a photo's edges:

- L_tri = max(0, m + |h(e_s) - h(e_p)| - |h(e_s) - h(e_n)|);
- L_S = mean over points t of eta_t |xy_t - xy'_t|^2 + CE(pen), of the strokes of e_s by a GRU;
- L_P = mean squared distance of the edges of p, by Sobel, from those drawn of e_p.

A step of training: w' = w - alpha grad_w [L_tri + lambda (L_S + L_P)] on some classes of the batch,
then the gradient of L_tri(w') on its other classes moves everything, eta and alpha too. A test
takes photo_steps of L_P over the gallery, then, for each query by itself and from there,
sketch_steps of L_S, and forgets them. Retrieval ranks h(e) by Euclidean distance.
"""

from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, Natural, NonNegative, Positive
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import stroke_loss
from sketchclip.methods.adaptive import AdaptiveMethod
from sketchclip.nn import (
    EdgeDecoder,
    StrokeDecoder,
    Weights,
    call,
    differentiable_twice,
    gradient_step,
    pen_states,
    sobel_edges,
)


class Sketch3T(AdaptiveMethod):
    """Adapts to the gallery and to each query at test time (ZS-Sketch3T), from the text.

    Args:
        encoder: Encoder of both sides.
        adapt: Fast weights: last_block of the encoder, all of it, what the names of its parameters
            start with, or layer, a residual linear layer behind it, as behind any frozen encoder.
        dim: Numbers of an embedding.
        sketch_target: strokes, which sketches must have (SVG, ndjson), or raster for a small map of
            their pixels in place of L_S, the paper's weaker ablation.
        stroke_points: Points of a sketch.
        hidden: Numbers of the GRU's state.
        map_size: Side of the decoded maps in pixels.
        normalize: Whether embeddings have unit length, so that the margin fits any encoder; the
            text does not say.
        margin: Triplet margin in Euclidean distance.
        inner_lr: Learning rate alpha of the inner step at the start; its logarithm is learned.
        lambda_auxiliary: Weight of L_S + L_P in the inner step.
        lambda_outer: Weight of L_S + L_P of the outer classes in the outer loss; the text has none.
        first_order: Take the inner gradient for a constant; needs lambda_outer, by which alone the
            decoders then learn.
        photo_steps: Steps of L_P over the whole gallery before a test; 0 for none.
        sketch_steps: Steps of L_S for each query of a test; 0 for none.
        adapt_decoders: Whether these steps move the decoders as well.
        adapt_in_validation: Whether validation within fit takes these steps, too.
        queries_at_once: Queries that adapt side by side, each by itself; a matter of memory.
        lr: Learning rate of Adam.
    """

    similarity = "euclidean"
    needs_images = True  # edges are those of the photos
    test_settings = (
        *("photo_steps", "sketch_steps", "adapt_decoders"),
        *("adapt_in_validation", "queries_at_once"),
    )

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k"),
        adapt: str = "last_block",
        dim: Count = 64,
        sketch_target: Literal["strokes", "raster"] = "strokes",
        stroke_points: Count = 100,
        hidden: Count = 128,
        map_size: Count = 32,
        normalize: bool = True,
        margin: NonNegative = 0.3,
        inner_lr: Positive = 5e-4,
        lambda_auxiliary: NonNegative = 1.0,
        lambda_outer: NonNegative = 0.0,
        first_order: bool = False,
        photo_steps: Natural = 4,
        sketch_steps: Natural = 4,
        adapt_decoders: bool = True,
        adapt_in_validation: bool = False,
        queries_at_once: Count = 16,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        if first_order and not lambda_outer:
            raise SketchClipError(
                "model.first_order=true with model.lambda_outer=0: the decoders would learn "
                "nothing. Pass --model.lambda_outer 1, or first_order=false."
            )
        if map_size < 8 or map_size % 8 or stroke_points < 2 or inner_lr <= 0:
            raise SketchClipError(
                "Sketch3T: expected model.map_size a multiple of 8, model.stroke_points of 2 or "
                f"more and model.inner_lr above 0, found {map_size}, {stroke_points}, {inner_lr}."
            )
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_fast_weights(encoder, adapt)
        self.head = nn.Linear(width, dim)
        nn.init.orthogonal_(self.head.weight)  # distances start as the encoder's, if dim allows it
        nn.init.zeros_(self.head.bias)
        self.photo_decoder = EdgeDecoder(width, map_size)
        self.log_rate = nn.Parameter(torch.tensor(inner_lr).log())
        if sketch_target == "strokes":
            self.sketch_decoder: nn.Module = StrokeDecoder(width, hidden)
            self.step_weights = nn.Parameter(torch.zeros(stroke_points))
        else:
            self.sketch_decoder = EdgeDecoder(width, map_size)

    @property
    def batch_spec(self) -> BatchSpec:
        """Triplets of at least two classes, with strokes where they are drawn."""
        points = self.hparams.stroke_points if self.hparams.sketch_target == "strokes" else 0
        return replace(super().batch_spec, smallest_batch=2, stroke_points=points)

    def embedding(self, feature: Tensor) -> Tensor:
        """Embeddings (B, dim) of features by the head."""
        found: Tensor = self.head(feature)
        return F.normalize(found, dim=1) if self.hparams.normalize else found

    def photo_target(self, photos: Tensor) -> Tensor:
        """Edges of photos, (B, 1, map_size, map_size)."""
        return sobel_edges(self.grey(photos), self.hparams.map_size)

    def photo_loss(self, weights: Weights, feature: Tensor, edges: Tensor) -> Tensor:
        """L_P by fast weights."""
        return F.mse_loss(call(self.photo_decoder, "photo_decoder.", weights, feature), edges)

    def sketch_target(self, sketches: Tensor, strokes: Tensor | None) -> Tensor:
        """Strokes to where the last one ends, (B, N, 3), or ink, (B, 1, map_size, map_size)."""
        if self.hparams.sketch_target == "raster":
            return F.adaptive_avg_pool2d(1 - self.grey(sketches), self.hparams.map_size)
        assert strokes is not None  # by batch_spec
        return strokes[:, : int((strokes[..., 2] >= 0).sum(1).max()) + 1]

    def sketch_loss(self, weights: Weights, feature: Tensor, target: Tensor) -> Tensor:
        """L_S, or its raster form, by fast weights."""
        decoder = (self.sketch_decoder, "sketch_decoder.", weights, feature)
        if self.hparams.sketch_target == "raster":
            return F.mse_loss(call(*decoder), target)
        points, pens = call(*decoder, target)
        eta = len(self.step_weights) * self.step_weights.softmax(0)[: target.shape[1]]
        return stroke_loss(points, pens, target, pen_states(target), eta)

    def _sets(self, label: Tensor, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Rows of the inner and the outer set: of different classes, if the batch has two."""
        classes = label.unique()
        order = torch.randperm(len(classes), generator=self.draws(batch_idx))
        inner = torch.isin(label, classes[order[: len(classes) // 2].to(label.device)])
        return (inner if inner.any() else ~inner), ~inner

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        assert batch.negative is not None  # by the pairing
        settings = self.hparams
        photos = self.trunk(torch.cat([batch.photo, batch.negative]), "photo").chunk(2)
        values = (self.trunk(batch.sketch, "sketch"), *photos)
        targets = self.sketch_target(batch.sketch, batch.strokes), self.photo_target(batch.photo)

        def losses(weights: Weights, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            sketch = self.feature(weights, values[0][rows], "sketch")
            both = torch.cat([values[1][rows], values[2][rows]])
            photo, negative = self.feature(weights, both, "photo").chunk(2)
            anchor, near, far = (self.embedding(feature) for feature in (sketch, photo, negative))
            return (
                F.triplet_margin_loss(anchor, near, far, settings.margin),
                self.sketch_loss({}, sketch, targets[0][rows]),
                self.photo_loss({}, photo, targets[1][rows]),
            )

        inner, outer = self._sets(batch.label, batch_idx)
        weights, rate = self.weights(), self.log_rate.exp()
        with differentiable_twice():
            triplet, drawn, edges = losses(weights, inner)
            loss = triplet + settings.lambda_auxiliary * (drawn + edges)
            moved = gradient_step(loss, weights, rate, settings.first_order)
            triplet, drawn, edges = losses(moved, outer)
        loss = triplet + settings.lambda_outer * (drawn + edges)
        logs = {"train/triplet": triplet, "train/sketch": drawn, "train/edges": edges}
        self.log_losses(logs | {"train/inner_lr": rate, "train/loss": loss}, len(batch.label))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All that trains, at one rate."""
        return [group | {"lr": self.hparams.lr} for group in super().parameter_groups()]
