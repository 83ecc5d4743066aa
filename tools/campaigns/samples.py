"""Valid inputs that take seconds to make: a tiny dataset, a training with its test, an index."""

import shutil
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from sketchclip.cli import main
from tools.campaigns.kinds.cases import Fixtures

CLASSES = "apple bell cup door egg fan goat hat".split()
SIZE = 64
BACKBONE = "sketchclip-mini"


def draw_data(root: Path, files: int = 2) -> Path:
    """Write ``sketch/<class>/*.png`` and ``photo/<class>/*.jpg`` of 8 classes."""
    for number, name in enumerate(CLASSES):
        for side, ending in (("sketch", "png"), ("photo", "jpg")):
            folder = root / side / name
            folder.mkdir(parents=True)
            for index in range(files):
                chance = Random(f"{name} {side} {index}")
                page = "white" if side == "sketch" else tuple(chance.randbytes(3))
                image = Image.new("RGB", (SIZE, SIZE), page)
                draw = ImageDraw.Draw(image)
                box = (8 + 2 * number, 8, 60 - index, 56 - number)
                fill = None if side == "sketch" else (30 * number, 99, 255 - 30 * number)
                draw.ellipse(box, outline="black", fill=fill)
                draw.line([chance.randrange(SIZE) for _ in range(4)], fill="black", width=2)
                image.save(folder / f"{name}_{index}.{ending}")
    return root


def fit_options(data: Path, runs: Path, epochs: int = 1) -> list[str]:
    """Options of a training that takes a second."""
    return [
        *("--config", "experiments/own_data.yaml", "--data.root", str(data)),
        *("--data.split", "random:3:0", "--data.num_workers", "0", "--data.batch_size", "4"),
        *("--trainer.accelerator", "cpu", "--trainer.max_epochs", str(epochs)),
        *("--trainer.limit_train_batches", "2", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger.save_dir", str(runs)),
    ]


def fixtures_in(folder: Path) -> Fixtures:
    """Where :func:`make_fixtures` puts things."""
    return Fixtures(folder / "data", folder / "run", folder / "other", folder / "index")


def is_complete(folder: Path) -> bool:
    """Whether the valid inputs are there."""
    return (folder / "complete").is_file()


def make_fixtures(folder: Path) -> None:
    """Make the valid inputs anew."""
    found = fixtures_in(folder)
    shutil.rmtree(folder, ignore_errors=True)
    draw_data(found.data)
    options = fit_options(found.data, folder / "runs")
    main(["fit", *options])
    version = folder / "runs" / "own_data" / "version_0"
    main(["test", "--data.num_workers", "0", "--ckpt_path", str(version)])
    main(["export", str(version), "--to", str(version / "exported")])
    main(["index", str(found.data / "photo"), "-o", str(found.index), "--backbone", BACKBONE])
    version.rename(found.run)
    shutil.copytree(found.run / "test", found.other)
    (folder / "complete").touch()
