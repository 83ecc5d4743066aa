"""The text tower with tokens that are put in anew at every layer, as a module of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sketchclip.clip.backbone import CLIPModel
from sketchclip.clip.towers import fork
from sketchclip.errors import SketchClipError

_NEEDED = ("transformer", "token_embedding", "positional_embedding", "ln_final", "attn_mask")


class TextTower(nn.Module):
    """The parts of an open_clip text tower, spelled out so that tokens can be replaced in it.

    Args:
        clip: The frozen model, whose tensors it shares.

    Raises:
        SketchClipError: If the tower is none of CLIP's own kind.
    """

    attn_mask: Tensor

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        text: Any = getattr(clip, "text", clip)
        pooling = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
        missing = [name for name in _NEEDED if getattr(text, name, None) is None]
        projection = getattr(text, "text_projection", None)
        if missing or pooling != "argmax" or not isinstance(projection, Tensor):
            raise SketchClipError(
                "The text tower of the backbone takes no tokens of its own: expected open_clip's "
                "causal transformer that is read at the end token, as in ViT-B-32-quickgelu, found "
                f"pooling '{pooling}' and no {', '.join(missing) or 'matrix of projection'}."
            )
        self.transformer: Any = text.transformer
        self.token_embedding: nn.Embedding = text.token_embedding
        self.positional_embedding: nn.Parameter = text.positional_embedding
        self.ln_final: nn.Module = text.ln_final
        self.text_projection: Tensor = projection
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.transformer.resblocks)

    def forward(self, tokens: Tensor, inserted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read sentences.

        Args:
            tokens: Ids, (C, N), with a place for each inserted token behind the start token; N may
                be shorter than the tower's context if no end token is cut off.
            inserted: Tokens (M, W), or (C, M, W), that take these places in front of every layer;
                they have no position.

        Returns:
            Outputs of all layers, (L, C, N, W), and the embeddings, not normalised, (C, D).
        """
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        outputs = []
        for block in self.transformer.resblocks:
            if inserted is not None:
                new = inserted.to(x.dtype).expand(len(x), -1, -1)
                x = torch.cat([x[:, :1], new, x[:, 1 + new.shape[1] :]], dim=1)
            x = block(x, attn_mask=self.attn_mask[:length, :length])
            outputs.append(x)
        read = self.ln_final(x[torch.arange(len(x), device=x.device), ends(tokens)])
        return torch.stack(outputs), read @ self.text_projection


def ends(tokens: Tensor) -> Tensor:
    """Position of the end token, which has the highest id, of each sentence, (C, N) to (C,)."""
    return tokens.argmax(1)


def fork_text(clip: CLIPModel, layer_norm: bool, read_out: bool) -> TextTower:
    """Fork the text tower of a frozen CLIP: own LayerNorms, all else shared.

    Args:
        clip: The frozen model.
        layer_norm: Whether LayerNorms train.
        read_out: Whether sentences' embeddings are used; without them the last LayerNorm stays.
    """
    tower = TextTower(clip)
    adapted = {
        f"{owner}.{name}": parameter
        for owner, module in tower.named_modules()
        if layer_norm and isinstance(module, nn.LayerNorm) and (read_out or owner != "ln_final")
        for name, parameter in module.named_parameters()
    }
    forked: TextTower = fork(tower, adapted)
    return forked


def sentences(backbone: str, texts: Sequence[str], inserted: int) -> Tensor:
    """Token ids of texts, (C, N), with places for inserted tokens behind the start token."""
    import open_clip

    places = ["x"] * inserted
    tokenizer = open_clip.get_tokenizer(backbone)
    ids: Tensor = tokenizer([" ".join([*places, text]) for text in texts])
    return ids
