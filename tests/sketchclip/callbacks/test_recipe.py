"""Another optimizer, schedule and warm-up for a method: rates of groups, refusals, going on."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torch import nn

from sketchclip.callbacks.recipe import Recipe
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.methods.warm_cosine import WarmCosineMethod

SHORT = ("--grids.queries", "0", "--data.validation", "none", "--trainer.limit_train_batches", "2")
RATES = ("--model.prompt_lr", "1e-2", "--model.ln_lr", "1e-3")


def rates(cli, name):
    """Rates of both groups as LearningRateMonitor has written them."""
    with (Path(cli.trainer.log_dir) / "metrics.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    columns = [f"lr-{name}/pg{number}" for number in (1, 2)]
    return np.array([[float(row[c]) for c in columns] for row in rows if row.get(columns[0])])


def weights(checkpoint):
    return torch.load(checkpoint, weights_only=True)


def test_groups_keep_their_rates_unless_one_is_given(run):
    sgd = (*SHORT, *RATES, "--trainer.max_steps", "1", "--optimizer", "SGD")
    cli = run("fit", *sgd, "--optimizer.momentum", "0.9")
    (optimizer,) = cli.trainer.optimizers
    assert type(optimizer) is torch.optim.SGD
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [(1e-2, 0.9), (1e-3, 0.9)]
    config = yaml.safe_load((Path(cli.trainer.log_dir) / "config.yaml").read_text())
    assert config["optimizer"]["init_args"]["lr"] is None  # so that a run which goes on keeps them
    cli = run("fit", *sgd, "--optimizer.lr", "0.001")  # which is the default of the class
    assert [group["lr"] for group in cli.trainer.optimizers[0].param_groups] == [1e-3, 1e-3]


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_rates_rise_and_then_follow_the_schedule(run, interval):
    cli = run(
        "fit",
        *(*SHORT, *RATES, "--trainer.max_epochs", "6" if interval == "epoch" else "3"),
        *("--lr_scheduler", "CosineAnnealingLR", "--lr_scheduler.T_max", "4"),
        *("--lr_warmup", "2", "--lr_interval", interval),
        *("--trainer.callbacks", "LearningRateMonitor"),
        *("--trainer.callbacks.logging_interval", interval),
    )
    rise = [1 / 3, 2 / 3]
    fall = [(1 + math.cos(math.pi * at / 4)) / 2 for at in range(4)]
    expected = np.outer([*rise, *fall], [1e-2, 1e-3])
    np.testing.assert_allclose(rates(cli, "Adam"), expected, rtol=1e-6)


def test_a_warm_up_alone_leads_to_constant_rates(run):
    cli = run(
        *("fit", *SHORT, *RATES, "--trainer.max_epochs", "2", "--lr_warmup", "1"),
        *("--lr_interval", "step", "--trainer.callbacks", "LearningRateMonitor"),
    )
    expected = np.outer([0.5, 1, 1, 1], [1e-2, 1e-3])
    np.testing.assert_allclose(rates(cli, "Adam"), expected, rtol=1e-6)


RECIPE = (
    *("--optimizer", "SGD", "--optimizer.momentum", "0.9", "--lr_warmup", "2"),
    *("--lr_scheduler", "ExponentialLR", "--lr_scheduler.gamma", "0.5", "--lr_interval", "step"),
)


def test_a_run_goes_on_with_its_recipe_and_refuses_another(run, options, capsys):
    whole = run("fit", *SHORT, *RATES, *RECIPE, "--trainer.max_epochs", "2")
    first = run("fit", *SHORT, *RATES, *RECIPE, "--trainer.max_epochs", "1")
    last = Path(first.trainer.log_dir) / "checkpoints" / "last.ckpt"
    keep = options[options.index("--trainer.logger") :]
    second = main(["fit", "--ckpt_path", str(last), "--trainer.max_epochs", "2", *keep])
    ends = [weights(Path(c.trainer.log_dir) / "checkpoints/last.ckpt") for c in (whole, second)]
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for name, value in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], value, rtol=0, atol=0)
    for changed, told in (
        (("--optimizer", "Adam"), "  optimizer: 'Adam' here, 'SGD' in the checkpoint"),
        (("--optimizer.lr", "1"), "  optimizer.lr: 1.0 here, None in the checkpoint"),
        (("--lr_scheduler.gamma", "0.9"), "  lr_scheduler.gamma: 0.9 here, 0.5 in the"),
        (("--lr_warmup", "0"), "  lr_warmup: 0 here, 2 in the checkpoint"),
        (("--ema.decay", "0.9"), "  ema.decay: 0.9 here, None in the checkpoint"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["fit", "--ckpt_path", str(last), "--trainer.max_epochs", "2", *changed])
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count(" here, ") == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--optimizer", "Muon"), "Muon only supports 2D parameters"),
        (("--optimizer.lr", "1"), "--optimizer.lr: an option of which class?"),
        (("--lr_scheduler", "CosineAnnealingLR"), "CosineAnnealingLR needs --lr_scheduler.T_max."),
        (("--lr_warmup", "-1"), "--lr_warmup: expected at least 0, found -1."),
        (
            (
                *("--lr_warmup", "1", "--lr_scheduler", "ReduceLROnPlateau"),
                *("--lr_scheduler.monitor", "loss"),
            ),
            "--lr_warmup 1 does not go with ReduceLROnPlateau",
        ),
        (
            ("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/mAP@all"),
            "--trainer.callbacks.mode: expected max, found min. EarlyStopping watches val/mAP@all",
        ),
        (("--trainer.callbacks", "EMAWeightAveraging"), "Use --ema.decay"),
    ],
)
def test_what_cannot_be_is_one_message(run, capsys, args, told):
    with pytest.raises(SystemExit) as stop:
        run("fit", *SHORT, "--trainer.max_epochs", "1", *args)
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_methods_that_step_or_schedule_by_themselves_refuse_it():
    recipe = Recipe(warmup=1)
    weight = nn.Parameter(torch.ones(2))
    adam = torch.optim.Adam([weight], lr=0.5)
    falling = torch.optim.lr_scheduler.ExponentialLR(adam, 0.5)
    method = SimpleNamespace(automatic_optimization=True, sets_rates=False)
    setting = SimpleNamespace(automatic_optimization=True, sets_rates=True)
    with pytest.raises(SketchClipError, match="has a schedule of its own"):
        recipe.configure(method, lambda: ([adam], [falling]))
    assert WarmCosineMethod.sets_rates
    with pytest.raises(SketchClipError, match="has a schedule of its own"):
        recipe.configure(setting, lambda: adam)
    with pytest.raises(SketchClipError, match="steps several optimizers by itself"):
        recipe.configure(SimpleNamespace(automatic_optimization=False), lambda: [adam, adam])


def test_a_program_passes_it_to_a_trainer(make_method, tree, tmp_path):
    from data_modules import SketchPhotoFolder

    data = SketchPhotoFolder(str(tree), split="random:2:0", num_workers=0, batch_size=8)
    method = make_method(class_names=data.class_names, prompt_lr=0.5)
    recipe = Recipe(lambda groups: torch.optim.AdamW(groups, weight_decay=0.0))
    trainer = Trainer(fast_dev_run=1, accelerator="cpu", callbacks=[recipe])
    trainer.fit(method, datamodule=data)
    assert type(trainer.optimizers[0]) is torch.optim.AdamW
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.5
    assert "configure_optimizers" not in vars(method)
