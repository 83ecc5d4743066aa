"""Losses and schedules of TVT and PSKD give the numbers of their original code."""

from typing import Any

import torch

from data_modules.batch import SIDES
from sketchclip.losses import (
    centre_alignment_loss,
    correlated_distillation_loss,
    dino_loss,
    instance_to_prototype_loss,
    smoothed_cross_entropy,
    uniformity_loss,
)
from sketchclip.methods.schedules import cosine, risen, risen_temperature
from sketchclip.nn import ClassCentres, TeacherCentres
from tests.helpers.parity import close, draws, tensor

Numbers = dict[str, Any]


@draws("uniform")
def test_uniformity(numbers: Numbers) -> None:
    close(uniformity_loss(tensor(numbers["embedding"])), numbers["loss"])


@draws("label_smoothing")
def test_smoothed_labels(numbers: Numbers) -> None:
    logits, labels = tensor(numbers["logits"]), torch.tensor(numbers["label"])
    close(smoothed_cross_entropy(logits.float(), labels, numbers["smoothing"]), numbers["loss"])


@draws("tvt_centre_alignment")
def test_centres_of_classes(numbers: Numbers) -> None:
    width = len(numbers["centre_photo"][0])
    centres = ClassCentres(numbers["classes"], width, numbers["momentum"])
    for step in numbers["steps"]:
        given = tensor(step["embedding"]).requires_grad_(), torch.tensor(step["label"])
        loss = centre_alignment_loss(*centres.update(*given, SIDES.index(step["side"])))
        close(loss, step["loss"])
        loss.backward()
        assert given[0].grad is not None
    assert not centres.centres.requires_grad
    for at, side in enumerate(SIDES):
        close(centres.centres[at], numbers[f"centre_{side}"])


@draws("tvt_dino")
def test_dino(numbers: Numbers) -> None:
    start, to, epochs = numbers["warmup"]
    centres = TeacherCentres(len(numbers["centre_photo"][0]), numbers["centre_momentum"])
    for step in numbers["steps"]:
        student, teacher = (tensor(step[name], torch.float32) for name in ("student", "teacher"))
        at = SIDES.index(step["side"])
        temperature = risen_temperature(step["epoch"], epochs, start, to)
        centre = centres.means[at].clone()
        loss = dino_loss(student, teacher, centre, temperature, numbers["student_temperature"])
        centres.update(teacher, at)
        close(loss, step["loss"], 1e-5)
    for at, side in enumerate(SIDES):
        close(centres.means[at], numbers[f"centre_{side}"][0], 1e-5)


@draws("tvt_schedules")
def test_schedules(numbers: Numbers) -> None:
    lr, weight = numbers["lr"], numbers["loss_weight"]
    length = lr["steps_per_epoch"]
    steps, warmup = lr["epochs"] * length, lr["warmup_epochs"] * length
    found = [cosine(step, steps, lr["base"], lr["final"], warmup) for step in range(steps)]
    close(tensor(found), lr["values"])
    length = weight["steps_per_epoch"]
    wait, until = weight["warmup_epochs"] * length, weight["early_epochs"] * length
    found = [risen(step, wait, until, weight["final"]) for step in range(weight["epochs"] * length)]
    close(tensor(found), weight["values"])


@draws("pskd_instance_to_prototype")
def test_instances_and_prototypes(numbers: Numbers) -> None:
    prototypes, embedding = tensor(numbers["prototypes"]), tensor(numbers["embedding"])
    found = instance_to_prototype_loss(prototypes, embedding, torch.tensor(numbers["label"]))
    close(found, numbers["loss"])


@draws("pskd_distillation")
def test_distillation_by_likeness(numbers: Numbers) -> None:
    student, teacher = tensor(numbers["student"]), tensor(numbers["teacher"])
    given = tensor(numbers["prototypes"]), torch.tensor(numbers["label"])
    close(correlated_distillation_loss(student, teacher, *given), numbers["loss"])
