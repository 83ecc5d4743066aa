"""SpLIP on the mini CLIP, and what its towers compute written out: one sentence at a time."""

import math
from typing import Any

import open_clip
import torch
from torch import nn

from data_modules.batch import TrainingBatch
from sketchclip.clip import TextGuidedPrompts
from sketchclip.methods import SpLIP

NAMES = ["cat", "hot air balloon", "dog", "tree", "house"]
LABELS, OTHERS = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 3, 1])
MINI = "sketchclip-mini"  # four visual and two text layers
_PROMPTS = {"text_context", "maps", "text_tokens", "word_prompts", "layer_prompts"}
_PROMPTS |= {"sketch_words", "photo_words", "momentum"}


def make(kind: type[SpLIP] = SpLIP, names: list[str] = NAMES, **settings: Any) -> SpLIP:
    given = {name: settings.pop(name) for name in [*settings] if name in _PROMPTS}
    torch.manual_seed(3)
    method = kind(names, MINI, adaptation=TextGuidedPrompts(**given), **settings)
    method.build_training_parts()
    method.read_names()
    method.logged = {}
    method.log_dict = lambda values, **_: method.logged.update(values)  # type: ignore
    method.log = lambda *_, **__: None  # type: ignore
    return method


def batch(size: int = 56) -> TrainingBatch:
    images = torch.randn(3, 4, 3, size, size, generator=torch.Generator().manual_seed(5))
    return TrainingBatch(*images, LABELS, negative_label=OTHERS)


def stir(method: SpLIP) -> None:
    """Move all that trains, so that no LayerNorm is CLIP's own and biases are not 0."""
    with torch.no_grad():
        for parameter in (p for p in method.parameters() if p.requires_grad):
            parameter += 0.05 * torch.randn_like(parameter)


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.square().sum(1, keepdim=True).sqrt()


def tokens(template: str) -> torch.Tensor:
    return open_clip.get_tokenizer(MINI)([template.format(name) for name in NAMES])


def text_by_hand(clip: Any, text: nn.Module, ids: torch.Tensor, new: torch.Tensor | None) -> Any:
    """Outputs (L, N, W) up to the end token of one sentence, and its embedding."""
    end = int(ids.argmax())
    x = [
        clip.token_embedding.weight[token] + clip.positional_embedding[place]
        for place, token in enumerate(ids[: end + 1])
    ]
    mask = torch.full((end + 1, end + 1), -math.inf).triu(1)
    outputs = []
    for block in text.transformer.resblocks:
        if new is not None:
            x = [x[0], *new, *x[1 + len(new) :]]
        x = [*block(torch.stack(x)[None], attn_mask=mask)[0]]
        outputs.append(torch.stack(x))
    return torch.stack(outputs), text.ln_final(x[end]) @ clip.text_projection


def mapped(layers: nn.Sequential, values: torch.Tensor, count: int) -> torch.Tensor:
    first, *rest = [layer for layer in layers if isinstance(layer, nn.Linear)]
    values = first.weight @ values + first.bias
    for layer in rest:
        values = layer.weight @ values.clamp(min=0) + layer.bias
    return values.reshape(count, -1)


def prompts_by_hand(method: SpLIP, patches: torch.Tensor, side: str, names: list[str]) -> Any:
    """Prompts of the four layers and class embeddings, from mean patches, (49, W)."""
    guide, clip, tokenizer = method.adaptation.guide, method.clip, open_clip.get_tokenizer(MINI)
    assert guide is not None
    article = f"a {side} of a"
    embedding = clip.token_embedding.weight
    words = torch.cat([embedding[token] for token in tokenizer(article)[0, 1:5]])
    from_words = mapped(guide.from_words, words, 4)
    new = mapped(guide.to_text, patches.mean(0), 4)
    sums, classes = [torch.zeros(128), torch.zeros(128)], []
    for name in names:
        ids = tokenizer(f"x x x x {article} {name}".strip())[0]
        outputs, embedded = text_by_hand(clip, guide.text, ids, new)
        sums = [s + layer.mean(0) for s, layer in zip(sums, outputs, strict=True)]
        classes.append(embedded)
    shared = [mapped(guide.from_text, s / len(names), 2) for s in sums]
    layers = [torch.cat([from_words, shared[text]]) for text in (0, 0, 1, 1)]
    return layers, torch.stack(classes)
