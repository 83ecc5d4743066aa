"""Blocks, losses and metrics of ZSE-SBIR give the numbers of its original code."""

import math
from typing import Any

import numpy as np
import torch

from sketchclip.losses import euclidean_triplet_loss, relation_loss
from sketchclip.metrics import retrieval_scores
from sketchclip.nn.cross import CrossAttention, PatchGrid, RelationHead, cosine_matrix
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]
_PARTS = {
    "self_attn.linears.0": "query",
    "self_attn.linears.1": "key",
    "self_attn.linears.2": "value",
    "self_attn.linears.3": "out",
    "feed_forward.w_1": "forward_layers.0",
    "feed_forward.w_2": "forward_layers.3",
    "sublayer.0.norm": "norms.0",
    "sublayer.1.norm": "norms.1",
}


def _own_name(name: str) -> str:
    layer, part = name.removeprefix("encoder.layer")[0], name.partition(".0.")[2]
    owner, _, kind = part.rpartition(".")
    kind = {"a": "weight", "b": "bias"}.get(kind, kind)
    return f"{'sketch' if layer == '1' else 'photo'}.{_PARTS[owner]}.{kind}"


@draws("zse_cosine_matrix")
def test_cosine_matrix(numbers: Numbers) -> None:
    close(cosine_matrix(tensor(numbers["p"]), tensor(numbers["q"])), numbers["output"])


@draws("zse_cross_attention")
def test_cross_attention(numbers: Numbers) -> None:
    x = tensor(numbers["x"])
    state = {_own_name(name): tensor(value) for name, value in numbers["state"].items()}
    hidden = len(state["sketch.forward_layers.0.weight"])
    cross = CrossAttention(x.shape[2], heads=2, hidden=hidden).double().eval()
    cross.load_state_dict(state)
    sketches, photos = x.chunk(2)
    close(torch.cat(cross(sketches, photos)), numbers["output"])


@draws("zse_relation_cosines")
def test_relation_cosines(numbers: Numbers) -> None:
    tokens = tensor(numbers["tokens"])[:, 1:]
    weight, bias = tensor(numbers["conv_weight"]), tensor(numbers["conv_bias"])
    found = {}
    for token_map, name in (("official", "official_view_cosines"), ("grid", "transposed_cosines")):
        grid = PatchGrid(tokens.shape[2], tokens.shape[1], len(weight), token_map).double()
        grid.join.load_state_dict({"weight": weight, "bias": bias})
        found[name] = cosine_matrix(*grid(tokens).chunk(2))
        close(found[name], numbers[name])
    assert not torch.allclose(*found.values(), atol=0.1)


@draws("zse_relation_head")
def test_relation_head(numbers: Numbers) -> None:
    head, seed = RelationHead(49).double().eval(), numbers["seed"]
    with torch.no_grad():
        for at, parameter in enumerate(head.parameters()):
            k = torch.arange(parameter.numel(), dtype=torch.float64)
            fan = parameter.shape[1] if parameter.ndim == 2 else 1000
            values = torch.sin(k * (0.37 + 0.11 * at) + seed) / math.sqrt(fan)
            parameter.copy_(values.view_as(parameter))
    k = torch.arange(numbers["batch"] * 2401, dtype=torch.float64)
    cosines = torch.sin(0.013 * k + seed).view(-1, 49, 49)
    close(head(cosines).sigmoid(), numbers["scores"])


@draws("zse_losses")
def test_losses(numbers: Numbers) -> None:
    anchor, _, positive, negative = tensor(numbers["class_tokens"]).chunk(4)
    matches, others = tensor(numbers["scores"]).chunk(2)
    triplet = euclidean_triplet_loss(anchor, positive, negative, 1.0)
    relation = relation_loss(matches, others)
    close(triplet, numbers["triplet"])
    close(relation, numbers["mse"])
    close(2 * triplet + 4 * relation, numbers["total"])


@draws("zse_metrics")
def test_metrics(numbers: Numbers) -> None:
    distances = tensor(numbers["distance"])
    queries, gallery = torch.eye(len(distances)), distances.T.float()
    found = retrieval_scores(
        queries,
        torch.tensor(numbers["query_labels"]),
        gallery,
        torch.tensor(numbers["gallery_labels"]),
        precision_k=(5, 20),
        map_k=(5, 20, len(gallery)),
        score=lambda left, right: -(left @ right.T),
    )
    for k in (5, 20):
        close(found[f"mAP@{k}_voc"].mean(), numbers[f"map_{k}"])
        close(found[f"P@{k}_relevant"].mean(), numbers[f"precision_{k}"])
    close(found[f"mAP@{len(gallery)}_voc"].mean(), numbers["map_all"])
    assert not np.isclose(found["P@20"].mean(), numbers["precision_20"])  # fewer are relevant
