"""Mixed precision trains as full precision does; half-precision weights are refused."""

import csv
from pathlib import Path

import pytest

from sketchclip.cli import main
from tests.helpers.paths import REPOSITORY

EMBEDDED = {
    "sketchy.yaml": "embedded/doodles.yaml",
    "sketchy_fg.yaml": "embedded/emoji_pairs.yaml",
}


def losses(method: str, precision: str, folder: Path) -> list[float]:
    """Training losses of the first steps on an embedded benchmark with the mini CLIP."""
    fitted = main([
        *("fit", "--config", str(REPOSITORY / "experiments" / method)),
        *("--config", str(REPOSITORY / "experiments" / EMBEDDED[method])),
        *("--trainer.precision", precision, "--trainer.accelerator", "cpu"),
        *("--trainer.limit_train_batches", "6", "--trainer.max_epochs", "1"),
        *("--trainer.log_every_n_steps", "1", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger.init_args.save_dir", str(folder), "--data.num_workers", "0"),
        *("--data.validation", "none", "--data.batch_size", "8", "--data.classes_per_batch", "4"),
    ])  # fmt: skip
    with (Path(fitted.trainer.log_dir) / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.mark.slow
@pytest.mark.parametrize("method", EMBEDDED)
def test_bf16_mixed_follows_the_loss_of_fp32(method, tmp_path):
    full = losses(method, "32-true", tmp_path / "full")
    mixed = losses(method, "bf16-mixed", tmp_path / "mixed")
    assert len(full) == 6
    assert mixed == pytest.approx(full, rel=0.02)
    assert mixed != full


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precision_weights_are_refused_with_the_reason(precision, tmp_path, capsys):
    with pytest.raises(SystemExit):
        losses("sketchy_fg.yaml", precision, tmp_path)
    assert "LayerNorm steps of 1e-5 round to nothing" in capsys.readouterr().err
