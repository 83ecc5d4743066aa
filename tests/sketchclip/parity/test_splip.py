"""Losses and maps of SpLIP give the numbers of a re-implementation, and of the formulas."""

from typing import Any

import torch

from sketchclip.clip.text_guide import TokenMap
from sketchclip.losses import class_margins, conditional_jigsaw_loss, margin_triplet_loss
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]


@draws("splip_adaptive_triplet")
def test_margin_by_class(numbers: Numbers) -> None:
    sketch, photo, negative = (tensor(numbers[n]) for n in ("sketch", "photo", "negative"))
    texts, labels = tensor(numbers["class_text"]), torch.tensor(numbers["labels"])
    others = torch.tensor(numbers["negative_labels"])
    margins = class_margins(texts, labels, others)
    close(margins, numbers["mu"])
    loss = margin_triplet_loss(sketch, photo, negative, margins)
    close(loss, numbers["explicit_negative_loss"])
    close(2 * margin_triplet_loss(sketch, photo, negative, margins / 2, "cosine"), loss)
    # The re-implementation rolls the batch: the negative of a row is the photo of the row before.
    rolled = class_margins(texts, labels, labels.roll(1))
    close(margin_triplet_loss(sketch, photo, photo.roll(1, 0), rolled), numbers["rolled_loss"])


@draws("splip_conditional_jigsaw")
def test_conditional_jigsaw(numbers: Numbers) -> None:
    names = ("logits_r", "logits_positive", "logits_negative")
    own, positive, negative = (tensor(numbers[name]) for name in names)
    index = torch.tensor(numbers["permutation"])
    found = conditional_jigsaw_loss(own, positive, negative, index)
    close(found, numbers["loss"])
    close(conditional_jigsaw_loss(own, positive, positive, index), numbers["ce_r"])
    assert abs(float(found) - numbers["loss_hinge_after_mean"]) > 0.1  # the form that is not ours


@draws("splip_mappings")
def test_maps_in_the_flattened_form(numbers: Numbers) -> None:
    sizes, names = numbers["sizes"], ("B_t", "B_v", "B_vt")
    maps = {
        "B_t": TokenMap(sizes["P"] * sizes["dv"], sizes["dt"], sizes["m"], sizes["dt"]),
        "B_v": TokenMap(sizes["J1"] * sizes["dt"], None, sizes["J1"], sizes["dv"]),
        "B_vt": TokenMap(sizes["M"] * sizes["dt"], sizes["dv"], sizes["n"], sizes["dv"]),
    }
    given = (numbers["patches"], numbers["words"], numbers["layer_text"])
    wanted = (numbers["text_tokens"], numbers["text_guided"], numbers["shared"])
    for name, inputs, outputs in zip(names, given, wanted, strict=True):
        layers = {k.removeprefix("mapper."): tensor(v) for k, v in numbers[name].items()}
        state = {k if k[0].isdigit() else f"0.{k}": v for k, v in layers.items()}
        maps[name].double().load_state_dict(state)
        close(maps[name](tensor(inputs).flatten(1)), outputs)
