"""The results table of README, written from the results of a quick start.

python tools/readme_table.py [--results runs/quickstart/results.json]

`sketchclip quickstart` makes such a file in about three minutes. The one that README shows is kept
in results/doodles; after another is copied there, this rewrites the table.
"""

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
README, RESULTS = REPOSITORY / "README.md", REPOSITORY / "results" / "doodles" / "triplet_only.json"
BEGIN, END = "<!-- results: make readme -->\n", "<!-- /results -->"
_LABELS = {
    "frozen": "frozen mini CLIP",
    "adapted": "prompts + LayerNorms, triplet loss (`experiments/doodles.yaml`)",
}


def table(results: dict[str, Any]) -> str:
    """The lines between the markers.

    Args:
        results: What ``results.json`` of a quick start holds.

    Returns:
        What was measured, and the table, in Markdown.
    """
    metrics = list(results["rows"]["frozen"])
    rows = [["", *metrics], ["---"] * (1 + len(metrics))]
    rows.append(["chance", f"{results['chance_mAP@all']:.3f}", *[""] * (len(metrics) - 1)])
    for name, label in _LABELS.items():
        rows.append([label, *(_cell(results["rows"][name][metric]) for metric in metrics)])
    counts = f"{results['queries']:,} sketches of {results['unseen_classes']} unseen classes"
    seeds = ", ".join(map(str, results["seeds"]))
    head = (
        f"{results['dataset']}, {counts}, {results['gallery']:,} photos; mean ± standard deviation "
    )
    head = textwrap.fill(f"{head}over seeds {seeds} ({results['protocol']}):", 104)
    return "\n".join([head, "", *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _cell(value: dict[str, Any]) -> str:
    return f"{value['mean']:.3f}" + ("" if value["std"] is None else f" ± {value['std']:.3f}")


def rewritten(text: str, results: dict[str, Any]) -> str:
    """README with the table of these results between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table(results)}{END}{after}"


def main() -> None:
    """Rewrite README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="of 'sketchclip quickstart'")
    results = json.loads(parser.parse_args().results.read_text("utf-8"))
    README.write_text(rewritten(README.read_text("utf-8"), results), encoding="utf-8")
    print(f"Written: {README}")


if __name__ == "__main__":
    main()
