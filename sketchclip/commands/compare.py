"""``sketchclip compare``: test whether two runs on the same queries differ.

Prints the mean difference, its 95 % bootstrap interval over queries, and the p-value of a paired
permutation test. It holds for these queries, not for other seeds.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_modules.ranges import Count, Seed
from sketchclip.commands.arguments import Parser


def run(args: Sequence[str]) -> dict[str, dict[str, float]]:
    """Run the command; return a, b, difference, low, high and p of each metric."""
    parser = Parser(prog="sketchclip compare", description=__doc__)
    parser.add_argument("run_a", type=Path, help="folder with metrics.json and queries.csv")
    parser.add_argument("run_b", type=Path)
    parser.add_argument("--resamples", type=Count, default=9999, help="default: 9999")
    parser.add_argument("--seed", type=Seed, default=0, help="seed of the resamples")
    options = parser.parse_args(list(args))

    from rich.table import Table

    from sketchclip.runs.results import check_same_queries, read_results
    from sketchclip.runs.uncertainty import bootstrap_interval, paired_test
    from sketchclip.tables.console import print_whole

    folders = (options.run_a, options.run_b)
    summaries, queries, (a, b) = zip(*map(read_results, folders), strict=True)
    check_same_queries(folders, summaries, queries)
    result: dict[str, dict[str, float]] = {}
    for name in (n for n in a if n in b and not n.startswith("rank")):
        known = ~np.isnan(a[name]) & ~np.isnan(b[name])
        if known.any():
            x, y = a[name][known], b[name][known]
            low, high = bootstrap_interval(y - x, seed=options.seed)
            p = paired_test(y, x, options.resamples, options.seed)
            means = {"a": float(x.mean()), "b": float(y.mean())}
            result[name] = means | {"difference": float((y - x).mean())}
            result[name] |= {"low": low, "high": high, "p": p}
    table = Table("metric", "A", "B", "B - A", "95 % interval", "p", title="A and B per query")
    for name, row in result.items():
        cells = (f"{row[key]:.4f}" for key in ("a", "b"))
        span = f"{row['low']:+.4f} to {row['high']:+.4f}"
        table.add_row(name, *cells, f"{row['difference']:+.4f}", span, f"{row['p']:.4f}")
    print_whole(table)
    print(f"A: {options.run_a}\nB: {options.run_b}")
    print(
        f"{len(queries[0]):,} queries; {summaries[0].get('protocol')}; queries resampled, classes "
        "and seeds fixed"
    )
    return result
