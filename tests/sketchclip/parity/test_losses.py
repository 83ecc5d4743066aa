"""Losses and blocks of earlier systems give the numbers of their original code."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sketchclip.losses import (
    coupling_penalty,
    distillation_loss,
    semantic_batch_hard,
    semantic_cosine_loss,
)
from sketchclip.methods.schedules import decayed
from sketchclip.nn import (
    SideBatchNorm,
    SpatialAttention,
    ramp,
    reverse_gradient,
    split_classifier,
)
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]


@draws("sake_distillation")
def test_sake_distils_photos_with_similarity(numbers: Numbers) -> None:
    student, teacher = tensor(numbers["student"]), tensor(numbers["teacher"])
    photo, hint = tensor(numbers["photo"]) == 1, tensor(numbers["similarity"])
    found = distillation_loss(student[photo], teacher[photo], hint[photo], numbers["weight"])
    close(found, numbers["photos_only_with_similarity"])
    close(distillation_loss(student, teacher), numbers["all_without"])


def test_distillation_of_a_batch_without_photos() -> None:
    student = torch.zeros(0, 5, requires_grad=True)
    loss = distillation_loss(student, torch.zeros(0, 5))
    loss.backward()
    assert loss.item() == 0


@draws("svd_head")
def test_split_classifier(numbers: Numbers) -> None:
    weight = tensor(numbers["imagenet_fc"])
    embedding, head = split_classifier(weight, numbers["d"])
    close(head @ embedding, numbers["product_of_head_and_hashing"])
    embedding, head = split_classifier(weight, min(weight.shape))
    close(head @ embedding, weight)


@draws("tcn_semantic_batch_hard")
def test_semantic_batch_hard(numbers: Numbers) -> None:
    x, vectors, u = (tensor(numbers[name]) for name in ("embedding", "word_vector", "u"))
    mapped = F.linear(vectors, tensor(numbers["fc_weight"]), tensor(numbers["fc_bias"]))
    anchors = torch.lerp(x, mapped, u.unsqueeze(1))
    close(anchors, numbers["anchor"])
    classifier = tensor(numbers["classifier_weight"]), tensor(numbers["classifier_bias"])
    logits = F.linear(anchors, *classifier)
    loss = semantic_batch_hard(x, anchors, torch.tensor(numbers["label"]), logits)
    close(loss, numbers["loss_with_entropy_weight"])


@draws("tcn_modality_batch_norm")
def test_statistics_of_each_side(numbers: Numbers) -> None:
    sketch, photo = (tensor(numbers[side], torch.float32) for side in ("sketch", "photo"))
    norm = SideBatchNorm(sketch.shape[1])
    close(norm(sketch, "sketch"), numbers["train_sketch"], 1e-5)
    close(norm(photo, "photo"), numbers["train_photo"], 1e-5)
    norm.eval()
    close(norm(sketch, "sketch"), numbers["eval_sketch_afterwards"], 1e-5)
    close(norm.sketch.running_mean, numbers["running_mean_sketch"], 1e-5)
    close(norm.photo.running_var, numbers["running_var_photo"], 1e-5)
    assert norm.photo.weight is norm.sketch.weight
    assert norm.photo.bias is norm.sketch.bias


@draws("tcn_coupling")
def test_coupling(numbers: Numbers) -> None:
    sketch, photo = ([tensor(layer) for layer in numbers[s]] for s in ("sketch", "photo"))
    close(coupling_penalty(sketch, photo), numbers["penalty"])


def test_coupling_of_equal_networks_has_a_finite_gradient() -> None:
    weight = torch.randn(3, 3, requires_grad=True)
    other = weight.detach().clone()
    coupling_penalty([weight], [other]).backward()
    assert torch.equal(weight.grad, torch.zeros(3, 3))


@draws("grl_cosine_loss")
def test_semantic_cosine(numbers: Numbers) -> None:
    a, b = tensor(numbers["a"]), tensor(numbers["b"])
    close(semantic_cosine_loss(a, b), tensor(numbers["per_sample"]).mean())


@draws("gradient_reversal")
def test_gradient_reversal(numbers: Numbers) -> None:
    x = torch.zeros(len(numbers["upstream"]), len(numbers["upstream"][0])).double()
    x.requires_grad_(True)
    reverse_gradient(x, numbers["lambd"]).backward(tensor(numbers["upstream"]))
    close(x.grad, numbers["gradient"])


@draws("grl_ramp")
def test_ramp(numbers: Numbers) -> None:
    assert [ramp(at) for at in numbers["epoch"]] == pytest.approx(numbers["lambda_domain"])


@draws("grl_triplet")
def test_euclidean_triplet(numbers: Numbers) -> None:
    parts = [tensor(numbers[n], torch.float32) for n in ("sketch", "positive", "negative")]
    close(F.triplet_margin_loss(*parts, margin=numbers["margin"]), numbers["loss"], 1e-5)


@draws("grl_attention")
def test_spatial_attention(numbers: Numbers) -> None:
    x, down = tensor(numbers["x"]), tensor(numbers["conv1_weight"])
    block = SpatialAttention(x.shape[1], len(down)).double()
    state = {
        "down.weight": down,
        "down.bias": tensor(numbers["conv1_bias"]),
        "mask.weight": tensor(numbers["conv2_weight"]),
        "mask.bias": tensor(numbers["conv2_bias"]),
    }
    block.load_state_dict(state)
    close(block(x), numbers["output"])


@draws("lr_sake_tcn")
def test_rate_decays(numbers: Numbers) -> None:
    found = [decayed(numbers["base"], epoch, numbers["epochs"]) for epoch in numbers["epoch"]]
    close(tensor(found), numbers["sake"], 1e-9)
