"""``sketchclip quickstart``: prompt learning on a frozen CLIP and real doodles, offline."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from rich.console import Console
from rich.table import Table

from sketchclip.commands.arguments import Parser, numbers
from sketchclip.config import find_config
from sketchclip.semantics.class_names import spoken

if TYPE_CHECKING:
    from data_modules import SketchPhotoDataModule

_SHOWN = ("mAP@all", "P@1", "P@5")
_NEXT = """
Next:
  sketchclip fit --config experiments/own_data.yaml --data.root PHOTOS_AND_SKETCHES
      your own sketch/<class>/* and photo/<class>/*, with this small model
  sketchclip fit --config experiments/sketchy.yaml --data.root SKETCHY
      the paper's setting: CLIP ViT-B/32, 21 unseen classes (downloads OpenAI's weights once)
  make docs        methods, data layouts, definitions of every metric, adding your own method
"""


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run the command; return the content of ``results.json``."""
    parser = Parser(prog="sketchclip quickstart", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", help="seeds of the trainings (default: 0,1,2)")
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="folder")
    parser.add_argument("--epochs", type=int, help="epochs in place of those of the config")
    options = parser.parse_args(args)
    return quickstart(numbers("--seeds", options.seeds), options.output, options.epochs)


def quickstart(seeds: list[int], folder: Path, epochs: int | None = None) -> dict[str, Any]:
    """Compare the frozen mini CLIP with the adapted one on the unseen classes of Doodles.

    Args:
        seeds: Seeds of the trainings.
        folder: Folder of runs, metrics and the picture.
        epochs: Epochs in place of those of the config.

    Returns:
        Content of ``results.json``.
    """
    from sketchclip.commands.trainer import run_cli

    start = time.monotonic()
    config = ["--config", str(find_config("experiments/doodles.yaml"))]
    config += ["--trainer.logger.init_args.save_dir", str(folder)]
    limit = [] if epochs is None else [f"--trainer.max_epochs={epochs}"]

    print("Frozen mini CLIP on sketches of classes it is never adapted to ...")
    mini = ["--model", "FrozenCLIP", "--model.backbone", "sketchclip-mini"]
    frozen = run_cli(["test", *config, *mini])
    results = {"frozen": [frozen.model.results.metrics], "adapted": []}
    first = {"frozen": frozen.model.results.first}
    for number, seed in enumerate(seeds, start=1):
        print(
            f"\nPrompts + LayerNorms on the seen classes, seed {seed} ({number}/{len(seeds)}) ..."
        )
        adapted = run_cli(["fit", *config, f"--seed_everything={seed}", *limit])
        adapted.trainer.test(adapted.model, datamodule=adapted.datamodule, verbose=False)
        results["adapted"].append(adapted.model.results.metrics)
        if number == 1:
            first["adapted"] = adapted.model.results.first

    summary = _summary(results, seeds, frozen.datamodule)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    picture = folder / "before_after.png"
    _plot(first, frozen.datamodule, seeds[0]).save(picture)
    _print(summary)
    print(f"\nPicture: {picture}\nMetrics: {folder / 'results.json'}")
    print(f"{time.monotonic() - start:.0f} s. Run folders: {folder}")
    print(_NEXT)
    return summary


def _summary(
    results: dict[str, list[Mapping[str, float]]], seeds: list[int], data: "SketchPhotoDataModule"
) -> dict[str, Any]:
    columns = [name for name in _SHOWN if name in results["frozen"][0]]
    rows = {
        name: {
            column: {
                "mean": float(np.mean([run[column] for run in runs])),
                "std": float(np.std([run[column] for run in runs], ddof=1)) if runs[1:] else None,
                "runs": [run[column] for run in runs],
            }
            for column in columns
        }
        for name, runs in results.items()
    }
    queries, gallery = (len(cast(Any, x.dataset)) for x in data.test_dataloader())
    return {
        "dataset": type(data).__name__,
        "split": data.catalogue.split.name,
        "unseen_classes": len(data.catalogue.split.unseen),
        "queries": queries,
        "gallery": gallery,
        "protocol": data.catalogue.protocol_name,
        "seeds": seeds,
        "chance_mAP@all": results["frozen"][0]["chance_mAP@all"],
        "rows": rows,
    }


def _print(summary: dict[str, Any]) -> None:
    rows = summary["rows"]
    table = Table(
        title=f"{summary['dataset']}: {summary['queries']:,} sketches of "
        f"{summary['unseen_classes']} unseen classes, {summary['gallery']} photos",
        caption=f"{summary['protocol']}; mean +- std over seeds {summary['seeds']}",
    )
    table.add_column("model")
    for column in rows["frozen"]:
        table.add_column(column, justify="right")
    table.add_row("chance", f"{summary['chance_mAP@all']:.3f}")
    labels = {"frozen": "frozen CLIP", "adapted": "prompts + LayerNorms"}
    for name, label in labels.items():
        cells = [
            f"{cell['mean']:.3f}" + (f" +- {cell['std']:.3f}" if cell["std"] is not None else "")
            for cell in rows[name].values()
        ]
        table.add_row(label, *cells)
    Console().print(table)
    before, after = (rows[name]["mAP@all"]["mean"] for name in labels)
    print(f"mAP@all of unseen classes: {(after / before - 1) * 100:+.0f} % over the frozen model.")


def _plot(first: dict[str, np.ndarray], data: "SketchPhotoDataModule", seed: int) -> Any:
    """Plot queries sampled at random, one a class, so that the picture shows no chosen cases."""
    from sketchclip.plots.retrieval_grid import Ranking, retrieval_grid

    queries, gallery = (cast(Any, loader.dataset) for loader in data.test_dataloader())
    order = np.random.default_rng(0).permutation(len(queries.items))
    chosen: dict[int, int] = {}
    for position in order:
        chosen.setdefault(queries.items[position][1], int(position))
    rows = []
    for label, position in list(chosen.items())[:8]:
        lines = []
        for name, ranking in first.items():
            top = [gallery.items[i] for i in ranking[position, :10]]
            lines.append(Ranking(name, [p for p, _ in top], [other == label for _, other in top]))
        rows.append((queries.items[position][0], spoken(queries.classes[label]), lines))
    title = "Doodles of unseen classes and their first ten photos, before and after adaptation"
    footer = f"Queries sampled at random. Thick green frame: right class. Adapted with seed {seed}."
    return retrieval_grid(title, rows, footer)
