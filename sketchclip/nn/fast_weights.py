"""Fast weights: parameters that a gradient step moves for a while, the module staying as it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sketchclip.errors import SketchClipError

Weights = dict[str, Tensor]
"""Names of parameters to the tensors that stand in for them."""


def parameter_names(network: nn.Module, which: str) -> list[str]:
    """Names of the parameters of a network that become fast weights.

    Args:
        network: Any module; frozen parameters do not count.
        which: all; last_block for the last element with parameters of the last row of layers
            (``nn.Sequential`` or ``nn.ModuleList``) that is not inside another: ``blocks.11`` of a
            ViT, ``layer4.2`` of a ResNet-50, the last convolution of a VGG, without what follows;
            else what names start with, such as ``net.layer4.``.

    Raises:
        SketchClipError: If there is none.
    """
    start = {"all": "", "last_block": _last_block(network)}.get(which, which)
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    found = [name for name in trained if start is not None and name.startswith(start)]
    if not found:
        raise SketchClipError(
            f"No parameter to adapt for adapt={which}: expected all, last_block, layer or what the "
            f"names of parameters start with, found {', '.join(trained[:3]) or 'none'}, ..., "
            f"{', '.join(trained[-2:])}. Pass --model.adapt layer for a layer behind the encoder."
        )
    return found


def _last_block(network: nn.Module) -> str | None:
    *_, last = [None, *_blocks(network)]
    return last


def _blocks(network: nn.Module, prefix: str = "") -> Iterator[str]:
    """Last elements of the outermost rows of layers, in the order of the network."""
    for name, part in network.named_children():
        inside = [n for n, layer in part.named_children() if any(True for _ in layer.parameters())]
        if isinstance(part, nn.Sequential | nn.ModuleList) and inside:
            yield f"{prefix}{name}.{inside[-1]}."
        else:
            yield from _blocks(part, f"{prefix}{name}.")


def call(module: nn.Module, prefix: str, weights: Mapping[str, Tensor], *inputs: Any) -> Tensor:
    """Call a module with the fast weights whose names start with a prefix in place of its own."""
    own = {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}
    found: Tensor = torch.func.functional_call(module, own, inputs)
    return found


def gradient_step(
    loss: Tensor, weights: Weights, rate: Tensor | float, first_order: bool = False
) -> Weights:
    """Weights after one step down the gradient of a loss, through which gradients flow.

    Args:
        loss: Scalar that depends on the weights.
        weights: Weights before.
        rate: Rate of the step.
        first_order: Whether the gradient counts as a constant, so that none of the second order
            is computed.
    """
    # A part of the graph below the weights may belong to a later loss as well.
    found = torch.autograd.grad(
        loss, [*weights.values()], create_graph=not first_order, retain_graph=True
    )
    return descend(weights, dict(zip(weights, found, strict=True)), rate)


def descend(weights: Weights, gradients: Weights, rate: Tensor | float) -> Weights:
    """Weights less their gradients times a rate."""
    return {name: weight - rate * gradients[name] for name, weight in weights.items()}


def adapt_to_all(
    loss: Callable[..., Tensor],
    weights: Weights,
    batches: Callable[[], Iterable[tuple[Tensor, ...]]],
    rate: Tensor | float,
    steps: int,
) -> Weights:
    """Weights after steps down the gradient of the mean loss of all samples.

    Args:
        loss: Mean loss of weights and a batch.
        weights: Weights before.
        batches: Starts a pass over the samples: tensors with a first dimension of samples.
        rate: Rate of the steps.
        steps: Steps, each after a pass over all batches.
    """
    for _ in range(steps):
        total, seen = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
        for batch in batches():
            found = torch.func.grad(loss)(weights, *batch)
            total = {name: total[name] + len(batch[0]) * found[name] for name in total}
            seen += len(batch[0])
        weights = descend(weights, {n: g / max(seen, 1) for n, g in total.items()}, rate)
    return weights


def adapt_each(
    loss: Callable[..., Tensor],
    embed: Callable[..., Tensor],
    weights: Weights,
    samples: tuple[Tensor, ...],
    rate: Tensor | float,
    steps: int,
    at_once: int = 16,
) -> Tensor:
    """Embed each sample by weights of its own, adapted to it alone.

    Args:
        loss: Scalar loss of weights and one sample, whose tensors are a batch of one.
        embed: Embedding, (1, D), of weights and one sample.
        weights: Weights that each sample starts from.
        samples: Tensors with a first dimension of B samples.
        rate: Rate of the steps.
        steps: Steps down the gradient of the loss.
        at_once: Samples computed together; each needs memory for its own weights.

    Returns:
        Embeddings, (B, D): no sample has a part in those of the others.
    """

    def one(*sample: Tensor) -> Tensor:
        single = [tensor.unsqueeze(0) for tensor in sample]
        adapted = weights
        for _ in range(steps):
            adapted = descend(adapted, torch.func.grad(loss)(adapted, *single), rate)
        return embed(adapted, *single).squeeze(0)

    found: Tensor = torch.func.vmap(one, chunk_size=at_once)(*samples)
    return found


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """Have attention computed by plain products: its fused kernels have no second derivative."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
