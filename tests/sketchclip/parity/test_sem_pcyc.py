"""SEM-PCYC gives the losses and embeddings of its released code."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sketchclip.encoders import ImageEncoder
from sketchclip.methods import SEMPCYC
from sketchclip.semantics import ClassSemantics
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]
WEIGHTS = {
    **{"se": "lambda_semantic", "sk": "lambda_sketch", "im": "lambda_photo"},
    **{"adv": "lambda_adversarial", "cyc": "lambda_cycle", "cls": "lambda_cls"},
    **{"reg": "lambda_regression", "regular": "lambda_norm"},
    "disc_se": "lambda_discriminator_semantic",
    "disc_sk": "lambda_discriminator_sketch",
    "disc_im": "lambda_discriminator_photo",
}
PARTS = {
    **{"gen_sk2se.": "to_code.sketch.", "gen_im2se.": "to_code.photo."},
    **{"gen_se2sk.": "to_features.sketch.", "gen_se2im.": "to_features.photo."},
    **{"disc_se.": "discriminators.semantic.", "disc_sk.": "discriminators.sketch."},
    **{"disc_im.": "discriminators.photo.", "aut_enc.": "autoencoder."},
    **{"classifier_se.": "classifiers.semantic.", "classifier_sk.": "classifiers.sketch."},
    "classifier_im.": "classifiers.photo.",
}
LOSSES = {
    **{"aut_enc": "autoencoder", "gen_adv": "adversarial", "gen_cyc": "cycle", "gen_cls": "cls"},
    **{"gen_reg": "regression", "disc_se": "discriminator_semantic"},
    **{"disc_sk": "discriminator_sketch", "disc_im": "discriminator_photo"},
}


class Features(ImageEncoder):
    """Images that are features already."""

    frozen = True
    identity = None
    image_size = 1
    mean = std = (0.5,)
    interpolation = "bicubic"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, images: Tensor, side: Any) -> Tensor:
        return images


class Noise(ClassSemantics):
    """Class vectors of a width."""

    source = "noise"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def vectors(self, class_names: Sequence[str]) -> Tensor:
        noise = torch.Generator().manual_seed(5)
        return torch.rand(len(class_names), self.width, generator=noise)


def load(module: nn.Module, state: dict[str, Any]) -> None:
    """Load the original's tensors, layer by layer: dropout shifts the numbers of ours."""
    ours = module.state_dict()
    for theirs, name in PARTS.items():
        given = [key for key in state if key.startswith(theirs)]
        wanted = [n for n in ours if n.startswith(name) and not n.endswith("_tracked")]
        for key, their in zip(wanted, given, strict=True):
            value = tensor(state[their])
            assert key.rpartition(".")[2] == their.rpartition(".")[2]
            assert ours[key].shape == value.shape, key
            ours[key] = value
    module.load_state_dict(ours)


def built(numbers: Numbers) -> SEMPCYC:
    classes = [str(i) for i in range(len(numbers["state"]["classifier_sk.weight"]))]
    width, words = len(numbers["sketch_feature"][0]), len(numbers["semantic"][0])
    weights = {WEIGHTS[name]: value for name, value in numbers["weights"].items()}
    labels = {"real_labels": (0.9, 0.9), "fake_labels": (0.1, 0.1)}
    method = SEMPCYC(classes, Features(width), Noise(words), numbers["dim"], **labels, **weights)
    method.build_training_parts()
    method.double().eval()
    load(method, numbers["state"])
    return method


@draws("sem_pcyc_losses")
def test_losses_and_embeddings(numbers: Numbers) -> None:
    method = built(numbers)
    features = {side: tensor(numbers[f"{side}_feature"]) for side in ("sketch", "photo")}
    words, label = tensor(numbers["semantic"]), torch.tensor(numbers["label"])
    found = method.losses(features, words, label, torch.Generator())
    found = {name.removeprefix("train/"): value for name, value in found.items()}
    assert {*found} == {*LOSSES.values()}
    wanted = numbers["losses"]
    for theirs, name in LOSSES.items():
        close(found[name], wanted[theirs])
    for whole in ("gen", "disc"):
        parts = [found[name] for theirs, name in LOSSES.items() if theirs.startswith(whole)]
        close(torch.stack(parts).sum(), wanted[whole])
    for side, x in features.items():
        close(method.embed(x, side), numbers[f"embedding_{side}"])
