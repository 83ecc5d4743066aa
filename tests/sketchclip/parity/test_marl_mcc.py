"""MARL's and MCC's losses and conversions give the numbers of their original code."""

from typing import Any

import torch

from sketchclip.losses import (
    capacity_loss,
    converted,
    mean_cosine,
    mode_loss,
    orthogonality_loss,
    reconstruction_loss,
    shared_semantics_loss,
    weighted_mean,
)
from sketchclip.metrics import retrieval_scores
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]


@draws("marl_losses")
def test_marl(numbers: Numbers) -> None:
    image, text, modes = (tensor(numbers[name]) for name in ("image", "text", "mode_embedding"))
    own = torch.tensor(numbers["mode_of_image"])
    of = torch.stack([own, torch.full_like(own, numbers["mode_of_text"])])
    image_as, text_as = converted(image, modes, of[0]), converted(text, modes, of[1])
    both = tensor(numbers["converted"])
    close(image_as, both[:, 0])
    close(text_as, both[:, 1])
    weight, bias = (tensor(numbers[f"discriminator_{name}"]) for name in ("weight", "bias"))
    told = [mode_loss(v @ weight.T + bias, m) for v, m in zip((image_as, text_as), of, strict=True)]
    losses = numbers["losses"]
    close((told[0] + told[1]) / 2, losses["discriminator_loss"])
    close(shared_semantics_loss(image, text, modes, of), losses["semantic_center_loss"])
    close(reconstruction_loss(image, text, image_as, text_as, of), losses["reconstruct_loss"])
    close(orthogonality_loss(image, text, modes), losses["orthogonal_loss"])


@draws("marl_weighted_total")
def test_marl_total(numbers: Numbers) -> None:
    losses = {name: tensor(value) for name, value in numbers["losses"].items()}
    close(weighted_mean(losses, numbers["weights"]), numbers["weighted"])
    with_orthogonal = numbers["weights"] | {"orthogonal": 1e-3}
    close(weighted_mean(losses, with_orthogonal), numbers["with_orthogonal_1e_3"])


@draws("marl_retrieval")
def test_marl_retrieval(numbers: Numbers) -> None:
    sketch, photo, modes = (tensor(numbers[n]) for n in ("sketch", "photo", "mode_embedding"))
    as_photo = converted(sketch, modes, torch.ones(len(sketch), dtype=torch.long))[:, 0]
    close(as_photo, numbers["converted"])
    labels = [torch.tensor(numbers[f"{side}_labels"]) for side in ("sketch", "photo")]
    for queries, name in ((sketch, "original"), (as_photo, "converted_metrics")):
        found = retrieval_scores(queries, labels[0], photo, labels[1], map_k=(5, len(photo)))
        expected = numbers[name]
        close(found[f"mAP@{len(photo)}_voc"].mean(), expected["map_all"])
        close(found["mAP@5_voc"].mean(), expected["map_5"])


@draws("mcc_loss")
def test_mcc(numbers: Numbers) -> None:
    once, squared = tensor(0.0), tensor(0.0)
    for side in ("sketch", "photo"):
        vectors = torch.nn.functional.normalize(tensor(numbers[side]), dim=-1)
        cosine = mean_cosine(vectors)
        close(cosine, numbers[f"mean_cosine_{side}"])
        close(cosine, (vectors @ vectors.T).mean(), 1e-12)
        settings = cosine, numbers[f"target_{side}"], numbers[f"lambda_{side}"]
        once = once + capacity_loss(*settings)
        squared = squared + capacity_loss(*settings, squared=True)
    close(once, numbers["lambda_once"])
    close(squared, numbers["official_loss"])
