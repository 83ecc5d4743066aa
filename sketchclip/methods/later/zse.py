"""ZSE-SBIR: patches of a sketch and a photo that answer each other, Lin et al., CVPR 2023.

"Zero-Shot Everything Sketch-Based Image Retrieval, and in Explainable Style"; released code:
buptLinfy/ZSE-SBIR @ 88f87f7, whose equations these are.

- One ViT for both sides gives a class token and N patch tokens, z. Cross attention makes c_s and
  c_p of the tokens of a pair, see :class:`~sketchclip.nn.cross.CrossAttention`. A 2 x 2 convolution
  joins patches, u, and the relation r = sigmoid(MLP(cos(u_s, u_p))) scores the pair.
- A sample is a sketch s and a photo p of a class, a second sketch s2 and a photo n of another
  class. The pairs (s, p) and (s2, n) run through the network; t is a class token of c:
  L_tri = max(0, |t_s - t_p| - |t_s - t_n| + 1), L_rn = (r(s, p) - .99)^2 + (r(s2, n) - .01)^2, mean
  of both, and L = 2 L_tri + 4 L_rn.
- Retrieval: ret compares class tokens of z, which have seen no cross attention, by the cosine. rn
  ranks those nearest by ret by the logit of r.
"""

from typing import Literal

import torch
from jsonargparse import lazy_instance
from torch import Tensor

from data_modules.batch import BatchSpec, Pairing, SecondSketch, TrainingBatch
from data_modules.ranges import Count, Natural, NonNegative, NotAll
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import euclidean_triplet_loss, relation_loss
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.metrics import score_in_blocks
from sketchclip.nn.cross import (
    CrossAttention,
    PatchGrid,
    RelationHead,
    Swap,
    TokenMap,
    cosine_matrix,
)


class ZSESBIR(EncodedMethod):
    """Cross attention and a relation of patches, trained on pairs (ZSE-SBIR).

    Args:
        encoder: ViT of both sides with patch tokens: a plain one of timm, or CLIP's.
        retrieval: ret ranks by the cosine of class tokens before the cross attention; rn puts those
            nearest by ret in the order of the relation of the pair.
        shortlist: Photos of each sketch that rn scores; the others stay behind them in the order
            of ret. 0 for all.
        swap: What crosses over: keys as in the released code, or queries as in the text.
        token_map: grid lays patch tokens on their grid before they are joined; official reads
            their memory as a map, as the released code does.
        second_sketch: Class of the second sketch: same_class as in the released code, or
            other_class, that of no other image of the sample.
        heads: Heads of the cross attention.
        hidden: Width of the inner layers of its feed-forward networks.
        relation_dim: Numbers of a joined token.
        dropout: Part of the numbers that cross attention and relation drop in training; that of
            the encoder is its own.
        margin: Triplet margin in Euclidean distance.
        lambda_triplet: Weight of L_tri.
        lambda_relation: Weight of L_rn.
        lr: Learning rate of AdamW.
        weight_decay: Weight decay, of all that trains.
    """

    pairing: Pairing = "class_triplet"
    needs_images = True
    score_name = "rn"
    test_settings = ("retrieval", "shortlist")
    state_dtype = torch.float16

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(
            TimmEncoder, name="vit_base_patch16_224.sam_in1k", token_dropout=0.1, stem=True
        ),
        retrieval: Literal["ret", "rn"] = "ret",
        shortlist: Natural = 1000,
        swap: Swap = "keys",
        token_map: TokenMap = "grid",
        second_sketch: Literal["same_class", "other_class"] = "same_class",
        heads: Count = 8,
        hidden: Count = 1024,
        relation_dim: Count = 512,
        dropout: NotAll = 0.1,
        margin: NonNegative = 1.0,
        lambda_triplet: NonNegative = 2.0,
        lambda_relation: NonNegative = 4.0,
        lr: NonNegative = 1e-5,
        weight_decay: NonNegative = 1e-2,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        self.shortlist = shortlist
        second: SecondSketch = second_sketch
        self.training_batch = BatchSpec(pairing=self.pairing, second_sketch=second)
        width = self.build_encoder(encoder)
        if not self.encoder.patches:
            raise SketchClipError(
                f"{type(self.encoder).__name__} has no patch tokens, which sketch and photo are "
                "compared by. Expected a plain ViT that embeds by its class token: --model.encoder "
                "TimmEncoder --model.encoder.name vit_base_patch16_224.sam_in1k, or "
                "CLIPImageEncoder with a ViT."
            )
        self.cross = CrossAttention(width, heads, hidden, dropout, swap)
        self.grid = PatchGrid(width, self.encoder.patches, relation_dim, token_map)
        self.relation = RelationHead(self.grid.count, dropout)

    @property
    def scores_pairs(self) -> bool:
        """Whether the relation ranks."""
        return bool(self.hparams.get("retrieval") == "rn")  # asked before there are settings

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of either side by the class token, (B, dim)."""
        return self.encoder.tokens(images)[:, 0]

    def gallery_state(self, images: Tensor) -> Tensor:
        """Class tokens (B, dim), or for rn all tokens in half precision, (B, 1 + N, dim)."""
        tokens = self.encoder.tokens(images)
        return tokens.to(self.state_dtype) if self.scores_pairs else tokens[:, 0]

    def query_state(self, images: Tensor, strokes: Tensor | None = None) -> Tensor:
        """Same as for photos: one network reads both sides."""
        return self.gallery_state(images)

    def vector(self, state: Tensor) -> Tensor:
        """Class tokens (B, dim) of states."""
        return state[:, 0] if self.scores_pairs else state

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Logits (Q, G) of the relation of tokens (Q, 1 + N, dim) and (G, 1 + N, dim)."""
        return score_in_blocks(self.score_rows, queries, gallery)

    def score_rows(self, sketches: Tensor, photos: Tensor) -> Tensor:
        """Logits (P,) of matching rows of states, in fp32."""
        return self.relate(*self.cross(sketches.float(), photos.float()))

    def relate(self, sketches: Tensor, photos: Tensor) -> Tensor:
        """Logits (B,) that pairs match, of tokens (B, 1 + N, dim) after the cross attention."""
        cosines = cosine_matrix(self.grid(sketches[:, 1:]), self.grid(photos[:, 1:]))
        logits: Tensor = self.relation(cosines)
        return logits.float()

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo, second sketch, photo that does not match)."""
        assert batch.negative is not None  # by the pairing
        assert batch.second_sketch is not None
        settings = self.hparams
        sides = [batch.sketch, batch.second_sketch, batch.photo, batch.negative]
        sketches, photos = self.cross(*self.encoder.tokens(torch.cat(sides)).chunk(2))

        sketch, _ = sketches[:, 0].chunk(2)
        photo, negative = photos[:, 0].chunk(2)
        triplet = euclidean_triplet_loss(sketch, photo, negative, settings.margin)
        matches, others = self.relate(sketches, photos).sigmoid().chunk(2)
        relation = relation_loss(matches, others)
        loss = settings.lambda_triplet * triplet + settings.lambda_relation * relation
        logs = {"train/triplet": triplet, "train/relation": relation, "train/loss": loss}
        self.log_losses(logs, len(batch.label))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over all that trains, without a schedule."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, self.hparams.lr, weight_decay=self.hparams.weight_decay)


class ZSESBIRFineGrained(ZSESBIR):
    """ZSE-SBIR at instance level: the positive is the sketch's photo, the negative of its class.

    The second sketch is another one of the photo, if there is one, else of the class (the paper
    does not say). Ranks among the photos of a class are those of all its pairs.
    """

    instance_level = True
    pairing = "instance_triplet"
