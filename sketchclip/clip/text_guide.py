"""Maps between the tokens of both towers of a CLIP (SpLIP, Singha et al., ECCV 2024)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from data_modules.batch import SIDES
from data_modules.transforms import Side
from sketchclip.clip.backbone import CLIPModel
from sketchclip.clip.text_tower import ends, fork_text, sentences
from sketchclip.semantics.class_names import spoken

MapForm = Literal["mean", "flattened"]


class TokenMap(nn.Sequential):
    """Maps numbers to tokens: a linear layer, or two with a ReLU between them.

    Args:
        inputs: Numbers of an input.
        hidden: Numbers of the inner layer; None for a single layer.
        count: Tokens that it gives.
        width: Numbers of a token.
    """

    def __init__(self, inputs: int, hidden: int | None, count: int, width: int) -> None:
        if hidden is None:
            super().__init__(nn.Linear(inputs, count * width))
        else:
            super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, count * width))
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """Map, (..., inputs) to (..., count, width)."""
        found: Tensor = super().forward(x)
        return found.unflatten(-1, (self.count, -1))


class TextGuide(nn.Module):
    """Gives the prompts of all layers of the visual tower by way of the text tower.

    The patches of an image, or their mean over images, become M tokens T that stand in front of
    every layer of the text tower (``to_text``, B_t in the paper). The words of a side's template
    become a visual prompt each, the same at every layer (``from_words``, B_v). The output of a text
    layer becomes the other prompts of the visual layer of its depth (``from_text``, B_vt). With L
    visual and R text layers, visual layer l, from 1, has the output of text layer ceil(l R / L).

    Args:
        clip: The frozen model.
        words: Tokens of the words of both sides' templates, (2, J).
        form: mean: patches, and the tokens of a sentence from start to end, are averaged before
            their map. flattened: they are its input one beside the other, padding included.
        text_tokens: Number M.
        word_prompts: Whether words become prompts.
        layer_prompts: Prompts of a text layer's output.
        layer_norm: Whether the text tower's LayerNorms train.
        read_out: Whether embeddings of classes are asked for; if neither they nor a text layer's
            output are, there is no text tower.
        momentum: Part of the moving mean of patches that a batch keeps.
    """

    means: Tensor
    sentences: Tensor
    words: Tensor

    def __init__(
        self,
        clip: CLIPModel,
        words: Tensor,
        form: MapForm,
        text_tokens: int,
        word_prompts: bool,
        layer_prompts: int,
        layer_norm: bool,
        read_out: bool,
        momentum: float,
    ) -> None:
        super().__init__()
        visual: Any = clip.visual
        self._frozen = (visual,)  # in a tuple it is no submodule: it belongs to the method
        self.form = form
        self.read_out = read_out
        self.momentum = momentum
        self.depth = len(visual.transformer.resblocks)
        (patches, width), embedding = visual.positional_embedding[1:].shape, clip.token_embedding
        inner, flat = embedding.embedding_dim, form == "flattened"
        self.register_buffer("words", embedding(words).detach(), persistent=False)
        self.register_buffer("sentences", None, persistent=False)
        self.register_buffer("means", torch.zeros(2, patches, width))
        reads = read_out or layer_prompts > 0
        self.text = fork_text(clip, layer_norm, read_out) if reads else None
        self.to_text = self.from_words = self.from_text = None
        if text_tokens and reads:
            self.to_text = TokenMap(width * (patches if flat else 1), inner, text_tokens, inner)
        if word_prompts:
            self.from_words = TokenMap(words.shape[1] * inner, None, words.shape[1], width)
        if layer_prompts:
            inputs = inner * (clip.context_length if flat else 1)
            self.from_text = TokenMap(inputs, width, layer_prompts, width)

    def tokenize(self, backbone: str, class_names: Sequence[str], templates: Sequence[str]) -> None:
        """Prepare the sentences of the seen classes.

        Args:
            backbone: Name of the model, which decides the tokenizer.
            class_names: Seen classes in the order of their labels.
            templates: Words before a name, for sketches and for photos.
        """
        named = [f"{words} {spoken(name)}" for words in templates for name in class_names]
        self.sentences = self.ids(backbone, named).unflatten(0, (2, -1))

    def ids(self, backbone: str, texts: Sequence[str]) -> Tensor:
        """Token ids of texts with places for the tokens that are put in, (C, N)."""
        found = sentences(backbone, texts, self.to_text.count if self.to_text is not None else 0)
        if self.form == "mean":  # a causal tower reads no padding: leave it out
            found = found[:, : int(ends(found).max()) + 1]
        return found.to(self.means.device)

    def patches(self, images: Tensor) -> Tensor:
        """Frozen patch embeddings E_0 without position, (B, 3, H, W) to (B, P, width)."""
        with torch.no_grad():
            embedded: Tensor = self._frozen[0].conv1(images)
        return embedded.flatten(2).mT.float()

    @torch.no_grad()
    def observe(self, images: Tensor, side: Side) -> Tensor:
        """Mean patch embeddings of a batch in all processes, (P, width); moves the side's mean."""
        mean = self.patches(images).mean(0)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(mean)
            mean = mean / dist.get_world_size()
        kept = self.means[SIDES.index(side)]
        started = kept.any()  # the first batch is not mixed with zeros
        kept.copy_(torch.where(started, torch.lerp(mean, kept, self.momentum), mean))
        return mean

    def forward(
        self, patches: Tensor, side: Side, tokens: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Run the text tower.

        Args:
            patches: (P, width) for all sentences, or (B, P, width) for one sentence each.
            side: Side whose words, and template before the classes' names, are read.
            tokens: Ids of the one sentence that each image has, (1, N); None for the classes'.

        Returns:
            Prompts of the visual layers, (L, K, width), or (L, B, K, width), averaged over classes,
            and the embeddings of the classes, (C, D). None stands for no prompts, and for no text.
        """
        at, each, outputs = SIDES.index(side), patches.ndim == 3, None
        found: list[Tensor] = []
        embedded = None
        if self.text is not None:
            inserted = None
            if self.to_text is not None:
                mean = patches.mean(-2) if self.form == "mean" else patches.flatten(-2)
                inserted = self.to_text(mean)
            ids = self.sentences[at] if tokens is None else tokens.expand(len(patches), -1)
            outputs, embedded = self.text(ids, inserted)
            if self.from_text is not None:
                summary = self._summary(outputs, ids)
                prompts = self.from_text(summary if each else summary.mean(1))
                found.append(prompts[[-(-layer * len(outputs) // self.depth) - 1
                                      for layer in range(1, self.depth + 1)]])  # fmt: skip
        if self.from_words is not None:
            shape = (self.depth, len(patches)) if each else (self.depth,)
            spoken_by = self.from_words(self.words[at].flatten())
            found.insert(0, spoken_by.expand(*shape, -1, -1))
        return torch.cat(found, dim=-2) if found else None, embedded

    def _summary(self, outputs: Tensor, ids: Tensor) -> Tensor:
        """What the map of a layer's output reads of each sentence, (L, C, N, W) to (L, C, F)."""
        if self.form == "flattened":
            return outputs.flatten(2)
        inside = torch.arange(ids.shape[1], device=ids.device) <= ends(ids).unsqueeze(1)
        share = (inside / inside.sum(1, keepdim=True)).to(outputs.dtype)
        return torch.einsum("lcnw,cn->lcw", outputs, share)
