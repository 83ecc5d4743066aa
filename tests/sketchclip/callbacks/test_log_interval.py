"""Losses of short trainings are logged, to whatever logs them."""

import csv
from types import SimpleNamespace

import pytest

from sketchclip.callbacks.log_interval import LogInterval

FEW = ("--trainer.log_every_n_steps", "10", "--grids.queries", "0")


@pytest.mark.parametrize(
    ("given", "batches", "accumulated", "epochs", "expected"),
    [
        (10, 1, 1, 3, 1),  # a batch an epoch
        (10, 47, 1, 1, 4),  # ten times in all
        (10, 47, 2, 1, 2),
        (10, 5, 1, 100, 5),  # once an epoch
        (10, 500, 1, 60, 10),  # a long training stays as it was set
        (50, 100, 1, float("inf"), 50),
        (50, 20, 1, float("inf"), 20),
        (50, float("inf"), 1, float("inf"), 50),
        (0, 47, 1, 1, 0),  # nothing is to be logged
    ],
)
def test_the_interval_fits_the_training(given, batches, accumulated, epochs, expected):
    trainer = SimpleNamespace(
        log_every_n_steps=given,
        num_training_batches=batches,
        accumulate_grad_batches=accumulated,
        estimated_stepping_batches=epochs * batches / accumulated,
    )
    LogInterval().on_train_start(trainer, None)
    assert trainer.log_every_n_steps == expected


def test_a_training_of_few_steps_has_a_loss_for_each(run):
    cli = run("fit", "--trainer.max_epochs", "2", *FEW)
    with open(f"{cli.trainer.log_dir}/metrics.csv", newline="") as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert logged == [*range(cli.trainer.global_step)]
    assert len(logged) > 1
