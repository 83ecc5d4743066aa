"""CC-DG: cross-category domain generalisation, Pang et al., CVPR 2019; from the text.

No code is public. The paper's abstract names an unsupervised embedding of prototypical sketch
traits that parameterises the representation of sketches and photos, so that the retrieval function
follows the sketch at hand; widths, constants and the forms below are choices.

- The trait network describes the features f of a frozen encoder by a code v, a Gumbel-softmax over
  K traits, and reconstructs r from it. On sketches alone, with i and j of a batch,
  L_trait = mean over i, j != i of max(0, m + d(r_i, f_i) - d(r_i, f_j))
  + l_1 mean of H(v_i) - l_2 H(mean of v_i): a sketch has few traits, a batch all of them.
- A layer W(v) = W0 + P diag(Q v) R over features g of an encoder embeds images. A triplet of a
  sketch s, its photo p and another photo n of its class is embedded with the code v of s:
  L_tri = max(0, m + d(W(v) g_s, W(v) g_p) - d(W(v) g_s, W(v) g_n)), d = 1 - cos.

Retrieval embeds the gallery anew for each sketch, with its code without noise: the score of a pair
is the cosine of W(v) g_s and W(v) g_p, see :class:`~sketchclip.nn.DynamicLinear`.
"""

import copy
from typing import Any

import torch
from jsonargparse import lazy_instance
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, Natural, NonNegative, Positive
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import code_entropies, reconstruction_ranking_loss, triplet_loss
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import DynamicLinear, TraitNetwork


class CCDG(EncodedMethod):
    """A last layer that the traits of the query decide (CC-DG), from the text.

    The trait network trains first, for ``trait_epochs``, the rest after it. Both losses are
    computed in every step; the learning rate of the part whose turn it is not is 0.

    Args:
        encoder: Encoder of both sides. Of one that trains, the trait network reads a copy that
            stays as it was, which is part of the checkpoint.
        dim: Numbers of an embedding.
        traits: Number K of traits.
        hidden: Width of the trait network's inner layer.
        rank: Rank of what a code adds to the layer.
        temperature: Temperature of the softmax over traits.
        trait_epochs: Epochs of the trait network, before those of the rest, at most half of a run.
            0, or a run of one epoch, trains both from first to last.
        trait_margin: Margin of the reconstruction's ranking in cosine distance.
        lambda_sample: Weight l_1 of the entropy of a sketch's code.
        lambda_batch: Weight l_2 of the entropy of the mean code of a batch.
        margin: Triplet margin in cosine distance.
        trait_lr: Learning rate of the trait network's Adam.
        lr: Learning rate of all else.
    """

    instance_level = True
    # The reconstruction is ranked among the sketches of a batch.
    training_batch = BatchSpec(pairing="instance_triplet", smallest_batch=2)

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="resnet50.tv_in1k"),
        dim: Count = 512,
        traits: Count = 100,
        hidden: Count = 512,
        rank: Count = 16,
        temperature: Positive = 1.0,
        trait_epochs: Natural = 5,
        trait_margin: NonNegative = 0.3,
        lambda_sample: NonNegative = 0.1,
        lambda_batch: NonNegative = 0.1,
        margin: NonNegative = 0.3,
        trait_lr: NonNegative = 1e-3,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_encoder(encoder)
        if not self.encoder.frozen:
            self.trait_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
            self.trait_encoder.frozen = True  # in evaluation mode, too
        self.traits = TraitNetwork(width, traits, hidden, temperature)
        self.layer = DynamicLinear(width, dim, traits, rank)

    def _trait_features(self, sketches: Tensor, features: Tensor) -> Tensor:
        if self.encoder.frozen:
            return features.detach()
        with torch.no_grad():
            found: Tensor = self.trait_encoder(sketches, "sketch")
        return found

    def query_state(self, images: Tensor, strokes: Tensor | None = None) -> Tensor:
        """What the layer embeds sketches by, for any code, beside their codes, (B, S + K)."""
        features = self.encoder(images, "sketch")
        codes = self.traits(self._trait_features(images, features))
        return torch.cat([self.layer.project(features).float(), codes], dim=1)

    def gallery_state(self, images: Tensor) -> Tensor:
        """What the layer embeds photos by, for any code, (B, S), S = dim + rank."""
        return self.layer.project(self.encoder(images, "photo"))

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Cosines (Q, G) of sketches and photos, embedded with the code of the sketch."""
        projected, codes = queries.split([gallery.shape[1], self.hparams.traits], dim=1)
        return self.layer.cosines(projected, codes, gallery)

    def vector(self, state: Tensor) -> Tensor:
        """Embeddings with the mean of all codes, as no photo knows its query's, (B, dim)."""
        traits = self.hparams.traits
        mean = state.new_full((1, traits), 1 / traits)
        return self.layer.combine(state[:, : self.hparams.dim + self.hparams.rank], mean)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images with the mean of all codes, (B, dim)."""
        return self.vector(self.layer.project(self.encoder(images, side)))

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, its photo, another photo of the class)."""
        assert batch.negative is not None  # by the pairing
        settings = self.hparams
        sketch = self.encode(batch.sketch, "sketch", batch.features)
        images = torch.cat([batch.photo, batch.negative])
        photo, negative = self.encode(images, "photo", batch.features).chunk(2)

        features = self._trait_features(batch.sketch, sketch)
        code = self.traits(features)
        sample = self.traits(features, self.draws(batch_idx))
        ranking = reconstruction_ranking_loss(
            self.traits.reconstruct(sample), features, settings.trait_margin
        )
        of_each, of_all = code_entropies(code)
        trait = ranking + settings.lambda_sample * of_each - settings.lambda_batch * of_all

        code = code.detach()
        s, p, n = (self.layer(values, code) for values in (sketch, photo, negative))
        triplet = triplet_loss(s, p, n, settings.margin)
        loss = trait + triplet
        logs = {"train/ranking": ranking, "train/entropy": of_each, "train/batch_entropy": of_all}
        self.log_losses(logs | {"train/triplet": triplet, "train/loss": loss}, len(sketch))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of the trait network and of all else."""
        rest = [*self.encoder.parameters(), *self.layer.parameters()]
        return [
            {"params": [*self.traits.parameters()], "lr": self.hparams.trait_lr},
            {"params": [p for p in rest if p.requires_grad], "lr": self.hparams.lr},
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam over both groups, one after the other."""
        optimizer: Any = super().configure_optimizers()
        first, epochs = self.hparams.trait_epochs, self.trainer.max_epochs
        if epochs is not None and epochs >= 0:
            first = min(first, epochs // 2)

        def traits(epoch: int) -> float:
            return float(epoch < first or first == 0)

        def rest(epoch: int) -> float:
            return float(epoch >= first)

        return [optimizer], [LambdaLR(optimizer, [traits, rest])]
