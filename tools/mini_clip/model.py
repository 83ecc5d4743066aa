"""The mini CLIP in training: the tower, heads that are thrown away, and the losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from open_clip.transformer import PatchDropout
from torch import Tensor, nn

from sketchclip.clip.mini import create_mini


def _attend(block: nn.Module) -> Callable[..., Tensor]:
    """Attention from plain products, for training only: same parameters, same result.

    On a CPU the fused kernel's bfloat16 backward takes 40 % of a step at 50 tokens.
    """
    attn = block.attn

    def attention(
        q_x: Tensor, k_x: None = None, v_x: None = None, attn_mask: Tensor | None = None
    ) -> Tensor:
        n, length, width = q_x.shape
        qkv = F.linear(q_x, attn.in_proj_weight, attn.in_proj_bias)
        q, k, v = qkv.view(n, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        score = (q @ k.transpose(-1, -2)).float() * attn.head_dim**-0.5
        if attn_mask is not None:
            score = score + attn_mask.clamp(min=-1e4)
        out = score.softmax(-1).to(v.dtype) @ v
        return attn.out_proj(out.transpose(1, 2).reshape(n, length, width))

    return attention


def _dense_gradient(_module: nn.Module, _inputs: tuple[Tensor, ...], out: Tensor) -> None:
    """Hand the gradient of a module's output on in one dense block."""
    if out.requires_grad:
        out.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))


class Trainee(nn.Module):
    """The mini CLIP with a cropped token table and the heads that are thrown away."""

    def __init__(self, tokens: int, vocabulary: int, teacher: Tensor | None, drop: float) -> None:
        """Build a random model; ``teacher`` holds a sentence embedding for every name."""
        super().__init__()
        self.clip = create_mini(None)
        width, embed = self.clip.token_embedding.embedding_dim, self.clip.visual.output_dim
        self.clip.token_embedding = nn.Embedding(tokens, width)
        nn.init.normal_(self.clip.token_embedding.weight, std=0.02)
        self.clip.visual.patch_dropout = PatchDropout(drop)
        # the slice that drops the class token leaves a gradient with gaps, on which BatchNorm's
        # backward takes a fifth of a whole step
        self.clip.visual.conv1.register_forward_hook(_dense_gradient)
        for tower in (self.clip, self.clip.visual):
            for block in tower.transformer.resblocks:
                block.attention = _attend(block)
        self.words = nn.Linear(embed, vocabulary)
        self.register_buffer("teacher", teacher, persistent=False)
        if teacher is not None:
            self.sentence = nn.Linear(embed, teacher.shape[1])

    def losses(
        self, views: Tensor, tokens: Tensor, ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """All losses of a batch: two views of n names, n captions, n word targets."""
        n = len(tokens)
        raw = self.clip.encode_image(views).float()
        image = F.normalize(raw, dim=-1)
        text = F.normalize(self.clip.encode_text(tokens).float(), dim=-1)
        mask = torch.zeros(n, n)
        if self.teacher is not None:  # names that mean nearly the same are no negatives
            close = self.teacher[ids] @ self.teacher[ids].T
            mask = torch.where((close > 0.7) & ~torch.eye(n, dtype=torch.bool), -1e4, 0.0)
        label = torch.arange(n)
        with torch.autocast("cpu", enabled=False):
            scale = self.clip.logit_scale.exp().clamp(max=100)
            logits = scale * image @ text.T
            rows = F.cross_entropy(logits + mask.repeat(2, 1), label.repeat(2))
            columns = sum(F.cross_entropy(part.T + mask, label) for part in logits.split(n)) / 2
            pair = image @ image.T / 0.1 + mask.repeat(2, 2)
            pair = pair - 1e4 * torch.eye(2 * n)
            partner = label.repeat(2) + torch.tensor([n, 0]).repeat_interleave(n)
            words = -(targets.repeat(2, 1) * F.log_softmax(self.words(raw), -1)).sum(-1).mean()
            out = {"clip": (rows + columns) / 2, "image": F.cross_entropy(pair, partner)}
            out["words"] = words
            if self.teacher is not None:
                known = self.teacher[ids]
                soft = (known @ known.T / 0.05).softmax(-1)
                for name, feature, copies in (("sent_i", image, 2), ("sent_t", text, 1)):
                    guess = F.normalize(self.sentence(feature), dim=-1) @ known.T / 0.05
                    out[name] = -(soft.repeat(copies, 1) * guess.log_softmax(-1)).sum(-1).mean()
            out["accuracy"] = (logits.detach().argmax(1) == label.repeat(2)).float().mean()
        return out
