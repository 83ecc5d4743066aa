"""``sketchclip quickstart``: prompt learning on a frozen CLIP and real doodles, offline."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from rich.table import Table

from data_modules.ranges import Count
from sketchclip.commands.arguments import Parser, seeds
from sketchclip.config import find_config
from sketchclip.tables.console import print_whole

if TYPE_CHECKING:
    from data_modules import SketchPhotoDataModule
    from sketchclip.metrics import RetrievalResults

_SHOWN = ("mAP@all", "P@1", "P@5")
_ADAPTED = "prompts + LayerNorms"
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
    parser.add_argument(
        "--seeds", type=seeds, default="0,1,2", help="seeds of the trainings (default: 0,1,2)"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="folder")
    parser.add_argument("--epochs", type=Count, help="epochs in place of those of the config")
    options = parser.parse_args(args)
    return quickstart(options.seeds, options.output, options.epochs)


def quickstart(seeds: list[int], folder: Path, epochs: int | None = None) -> dict[str, Any]:
    """Compare the frozen mini CLIP with the adapted one on the unseen classes of Doodles."""
    from sketchclip.commands.trainer import run_cli
    from sketchclip.plots.examples import picture

    start = time.monotonic()
    config = ["--config", str(find_config("experiments/doodles.yaml"))]
    config += ["--trainer.logger.init_args.save_dir", str(folder)]
    limit = [] if epochs is None else [f"--trainer.max_epochs={epochs}"]

    print("Frozen mini CLIP on sketches of classes it is never adapted to ...")
    mini = ["--model", "FrozenCLIP", "--model.backbone", "sketchclip-mini"]
    frozen = run_cli(["test", *config, *mini])
    results: dict[str, list[RetrievalResults]] = {"frozen": [frozen.model.results], "adapted": []}
    runs = []
    for number, seed in enumerate(seeds, start=1):
        count = f"{number}/{len(seeds)}"
        print(f"\nPrompts + LayerNorms on the seen classes, seed {seed} ({count}) ...")
        adapted = run_cli(["fit", *config, f"--seed_everything={seed}", *limit])
        adapted.trainer.test(adapted.model, datamodule=adapted.datamodule, verbose=False)
        results["adapted"].append(adapted.model.results)
        runs.append(Path(str(adapted.trainer.log_dir)))

    summary = _summary(results, seeds, frozen.datamodule)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    file, before = folder / "before_after.png", Path(str(frozen.trainer.log_dir))
    note = f"Adapted with seed {seeds[0]}, {_ADAPTED}; frozen: the same CLIP as it was."
    labels = ("adapted", "frozen")
    picture(runs[0], before, "quantiles", labels=labels, note=note).save(file)
    _print(summary)
    print(f"\nPicture: {file}\nMetrics: {folder / 'results.json'}")
    print(f"{time.monotonic() - start:.0f} s. Run folders: {folder}")
    print(_NEXT)
    return summary


def _summary(
    results: "Mapping[str, list[RetrievalResults]]", seeds: list[int], data: "SketchPhotoDataModule"
) -> dict[str, Any]:
    frozen = results["frozen"][0].metrics
    values = {
        name: {
            column: [run.metrics[column] for run in runs] for column in _SHOWN if column in frozen
        }
        for name, runs in results.items()
    }
    rows = {
        name: {
            column: {
                "mean": float(np.mean(runs)),
                "std": float(np.std(runs, ddof=1)) if runs[1:] else None,
                "runs": runs,
            }
            for column, runs in columns.items()
        }
        for name, columns in values.items()
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
        "chance_mAP@all": frozen["chance_mAP@all"],
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
    labels = {"frozen": "frozen CLIP", "adapted": _ADAPTED}
    for name, label in labels.items():
        cells = [
            f"{cell['mean']:.3f}" + (f" +- {cell['std']:.3f}" if cell["std"] is not None else "")
            for cell in rows[name].values()
        ]
        table.add_row(label, *cells)
    print_whole(table)
    before, after = (rows[name]["mAP@all"]["mean"] for name in labels)
    print(f"mAP@all of unseen classes: {(after / before - 1) * 100:+.0f} % over the frozen model.")
