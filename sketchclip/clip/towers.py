"""Visual towers with prompts: the only file that touches the inside of an open_clip model.

open_clip has no hook for prompts, so this file spells out ``VisionTransformer.forward`` with a few
lines more. What it relies on (``_embeds``, ``transformer.resblocks``, ``_pool``, ``proj``,
``ln_pre``) is guarded by ``tests/sketchclip/clip/test_towers.py``, which also compares it with
``encode_image``; the parts of a residual block and ``pool_type`` by
``tests/repository/test_training_step.py``.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from data_modules.transforms import Side
from sketchclip.adaptations import Adaptation
from sketchclip.checkpoint import mark_pretrained
from sketchclip.errors import SketchClipError

LayerNormMode = Literal["per_branch", "shared", "none"]
AlsoTrain = Literal["nothing", "projection", "official_leak", "everything"]

_NEEDED = ("_embeds", "_pool", "transformer", "ln_pre", "proj", "class_embedding", "image_size")
_PLAIN = "ResidualAttentionBlock"  # whose forward _one_token spells out


def check_visual(visual: nn.Module, name: str) -> None:
    """Refuse towers that cannot take prompt tokens, and open_clip before 2.32.

    ResNets, timm towers such as SigLIP or EVA, and towers with attentional pooling cannot.
    """
    missing = [attribute for attribute in _NEEDED if not hasattr(visual, attribute)]
    if missing or getattr(visual, "attn_pool", None) is not None:
        found = f"{type(visual).__name__} without {', '.join(missing)}" if missing else "attn_pool"
        raise SketchClipError(
            f"Backbone '{name}' cannot take prompts: expected open_clip's plain VisionTransformer, "
            f"found {found}. Use a ViT such as ViT-B-32-quickgelu, ViT-B-16-quickgelu or "
            "ViT-L-14-quickgelu, and open_clip_torch >= 3.0."
        )


def trains(
    module: nn.Module, attribute: str, is_root: bool, layer_norm: LayerNormMode, also: AlsoTrain
) -> bool:
    """The one predicate: is parameter ``module.attribute`` of a visual tower adapted?

    What it says becomes ``requires_grad``; the optimiser, the checkpoint and the parameter count
    all read only that.

    Args:
        module: The module that owns the parameter.
        attribute: Name of the parameter in its owner.
        is_root: Whether the owner is the tower itself.
        layer_norm: LayerNorm tuning; ``none`` freezes the LayerNorms.
        also: ``projection`` adds the output projection (as ClipPrompt does); ``official_leak`` adds
            every parameter not named weight or bias, which the paper's released code trains by
            accident (attention in_proj, class and position embeddings, projection); ``everything``
            is full fine-tuning.
    """
    if also == "everything":
        return True
    if isinstance(module, nn.LayerNorm):
        return layer_norm != "none"
    if also == "projection":
        return is_root and attribute == "proj"
    return also == "official_leak" and attribute not in ("weight", "bias")


def fork_visual(visual: Any, layer_norm: LayerNormMode, also: AlsoTrain) -> Any:
    """Fork a frozen tower: share its frozen tensors, own a copy of the adapted ones.

    Two forks of one tower have one set of frozen weights.
    """
    adapted = {
        f"{owner}.{attribute}".lstrip("."): parameter
        for owner, module in visual.named_modules()
        for attribute, parameter in module.named_parameters(recurse=False)
        if trains(module, attribute, module is visual, layer_norm, also)
    }
    return fork(visual, adapted)


def fork(network: Any, adapted: Mapping[str, nn.Parameter]) -> Any:
    """Copy the adapted parameters of a frozen network; the copy shares all its other tensors.

    Args:
        network: The visual tower, or the text tower.
        adapted: Parameters inside by their names; they train.
    """
    copied = {id(parameter) for parameter in adapted.values()}
    # deepcopy takes an object found in its memo for its own copy: frozen tensors stay shared.
    memo: dict[int, object] = {
        id(tensor): tensor
        for tensor in (*network.parameters(), *network.buffers())
        if id(tensor) not in copied
    }
    return mark_pretrained(copy.deepcopy(network, memo), adapted)


class PromptedTower(nn.Module):
    """An open_clip ViT with an adaptation, for one side.

    Prompts have no position; they are appended to the patch tokens, go through ``ln_pre`` as the
    paper's code does it, are ordinary tokens in every block (which makes their place in the
    sequence irrelevant) and are dropped before pooling.

    Args:
        visual: Tower from :func:`fork_visual`.
        adaptation: Built for this backbone; one that adds nothing makes the tower equal to
            ``encode_image``.
        side: The images that it embeds.
    """

    def __init__(self, visual: Any, adaptation: Adaptation, side: Side) -> None:
        super().__init__()
        self.visual: Any = visual
        self.adaptation = adaptation
        self.side: Side = side

    def forward(self, images: Tensor, layers: Tensor | None = None) -> Tensor:
        """Embed images.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            layers: Prompts of the first J blocks in place of the adaptation's, (J, K, W), or
                (J, B, K, W) if they depend on the image.

        Returns:
            Embeddings, not normalised, shape (B, D).
        """
        visual, adaptation = self.visual, self.adaptation
        tokens = visual._embeds(images)
        length = tokens.shape[1]
        given = (layers[0], layers[1:]) if layers is not None else None
        prompts, deep = given or adaptation.each_layer(images, self.side)
        if prompts is None:
            tokens = visual.transformer(tokens)
        else:
            tokens = _append(tokens, visual.ln_pre(prompts))
            first = length if adaptation.reads_prompt else 0
            tokens = self._blocks(tokens, length, first, deep)
        pooled, _ = visual._pool(tokens)
        return adaptation.head(pooled @ visual.proj, self.side)

    def _blocks(self, tokens: Tensor, length: int, first: int, deep: Tensor | None) -> Tensor:
        """The transformer; deep prompts replace what follows the first ``length`` tokens.

        Returns:
            ``length`` tokens from the first on, or that one alone where pooling takes it: then
            the last block computes no other.
        """
        transformer = self.visual.transformer
        recompute = transformer.grad_checkpointing and torch.is_grad_enabled()
        blocks: list[Callable[[Tensor], Tensor]] = list(transformer.resblocks)
        last = transformer.resblocks[-1]
        if self.visual.pool_type == "tok" and type(last).__name__ == _PLAIN:
            blocks[-1] = partial(_one_token, last, first)
            read = slice(0, 1)
        else:
            read = slice(first, first + length)
        for layer, block in enumerate(blocks):
            if deep is not None and 1 <= layer <= len(deep):
                tokens = _append(tokens[:, :length], deep[layer - 1])
            tokens = checkpoint(block, tokens, use_reentrant=False) if recompute else block(tokens)
        return tokens[:, read]

    def train(self, mode: bool = True) -> "PromptedTower":
        """Keep the tower in eval mode: BatchNorm, dropout and patch dropout of a frozen net."""
        super().train(mode)
        self.visual.eval()
        return self


def embed_two_tokens(visual: Any, images: Tensor, token: Tensor) -> Tensor:
    """Embed images by the class token of a plain ViT and by a second token beside it.

    Args:
        visual: open_clip ViT without attentional pooling.
        images: Normalised RGB, shape (B, 3, H, W).
        token: The second token with its position, (width,).

    Returns:
        Embeddings of both, through the last LayerNorm and the projection, (B, 2, D).
    """
    tokens = visual._embeds(images)
    second = visual.ln_pre(token.to(tokens.dtype)).expand(len(tokens), 1, -1)
    tokens = visual.transformer(torch.cat([tokens[:, :1], second, tokens[:, 1:]], dim=1))
    embedded: Tensor = visual.ln_post(tokens[:, :2]) @ visual.proj
    return embedded


def embed_tokens(visual: Any, images: Tensor) -> Tensor:
    """Embed images token by token, each through the last LayerNorm and the projection.

    Args:
        visual: open_clip ViT without attentional pooling.
        images: Normalised RGB, shape (B, 3, H, W).

    Returns:
        Class token, which is the embedding, and patches row by row, (B, 1 + N, D).
    """
    tokens = visual.transformer(visual._embeds(images))
    embedded: Tensor = visual.ln_post(tokens) @ visual.proj
    return embedded


def _append(tokens: Tensor, prompts: Tensor) -> Tensor:
    """(B, N, W) and (K, W) or (B, K, W) to (B, N + K, W)."""
    prompts = prompts.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    return torch.cat([tokens, prompts], dim=1)


def _one_token(block: Any, position: int, tokens: Tensor) -> Tensor:
    """A plain residual block's output at one position, (B, N, W) to (B, 1, W)."""
    normed = block.ln_1(tokens)
    x, query = (t[:, position : position + 1] for t in (tokens, normed))
    x = x + block.ls_1(block.attention(query, normed, normed))
    output: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return output
