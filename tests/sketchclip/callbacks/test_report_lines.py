"""Lines of a training: the mean loss of an epoch, and why it stopped."""

import csv
import re
from pathlib import Path

import pytest

from sketchclip.cli import main
from tests.sketchclip.callbacks.test_progress import SHORT


def test_the_loss_of_an_epoch_is_its_mean_over_samples(run, capsys):
    cli = run("fit", *SHORT, "--data.batch_size", "5")
    printed = re.findall(r"^epoch (\d)/2  loss ([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    with (Path(cli.trainer.log_dir) / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    samples = len(cli.trainer.train_dataloader.dataset)
    for epoch, loss in printed:
        losses = [float(row["train/loss"]) for row in rows if int(row["epoch"]) == int(epoch) - 1]
        sizes = [5] * (samples // 5) + ([samples % 5] if samples % 5 else [])
        assert len(losses) == len(sizes) > 2
        mean = sum(a * b for a, b in zip(losses, sizes, strict=True)) / samples
        assert float(loss) == pytest.approx(mean, abs=6e-5)


def test_an_early_stop_says_why(run, tmp_path, capsys):
    config = tmp_path / "stop.yaml"
    config.write_text(
        "trainer:\n  callbacks:\n    - class_path: EarlyStopping\n"
        "      init_args: {monitor: val/mAP@all, mode: max, patience: 1}\n"
    )
    rates = ("--model.prompt_lr", "0", "--model.ln_lr", "0", "--grids.queries", "0")
    run("fit", "--config", config, "--trainer.max_epochs", "5", *rates)
    out = capsys.readouterr().out
    assert re.search(r"stopped  after epoch 2: val/mAP@all was no better than 0\.\d{4} 1 time", out)


def test_a_grid_names_configs_of_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text("cells:\n  ours: experiments/doodles.yaml\n")
    main(["ablate", "grid.yaml", "--seeds", "0", "--commands"])
    assert "--cells ours" in capsys.readouterr().out
    (tmp_path / "grid.yaml").write_text("cells:\n  ours: experiments/dodles.yaml\n")
    with pytest.raises(SystemExit):
        main(["ablate", "grid.yaml", "--commands"])
    assert "experiments/NAME.yaml names a config of the package" in capsys.readouterr().err
