"""Printing of metrics in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from sketchclip.metrics.definitions import metric_info, of_queries

_WIDEST = 1_000_000  # characters, above any path


def print_metrics(title: str, metrics: Mapping[str, float], protocol: str) -> None:
    """Print metrics between a title and the protocol, different definitions apart."""
    print(f"\n{title}")
    infos = {name: metric_info(name) for name in metrics}
    apart = {name: info for name, info in infos.items() if info.queries != "unseen"}
    infos = {name: info for name, info in infos.items() if name not in apart}
    category = [name for name, info in infos.items() if info.scope == "category"]
    headlines = [n for n in category if infos[n].quoted or infos[n].chance]
    if apart:
        _print_queries(headlines, metrics)
    else:
        _print(headlines, metrics)
    others = [n for n in category if not infos[n].quoted and not infos[n].chance]
    if others:
        print("other definitions of mAP@k and P@k, for comparison with papers that use them")
        _print(others, metrics)
    cuts = [name for name, info in infos.items() if info.scope == "class" and info.quoted]
    if cuts:
        print(
            "paired photo found among the first q (gallery: the photos of its class, or all photos)"
        )
        table = Table("gallery", "mean over", *(f"q = {n.partition('@')[2]}" for n in cuts))
        for gallery, scope in (("class", ""), ("all", "_all")):
            rows = {"sketches": "{}" + scope, "classes": "{}" + scope + "_macro"}
            rows["chance"] = "chance_{}" + scope
            for mean, pattern in rows.items():
                values = (metrics[pattern.format(name)] for name in cuts)
                table.add_row(gallery, mean, *(f"{value:.4f}" for value in values))
        print_whole(table)
    print(f"{protocol}\n")


def _print(names: list[str], metrics: Mapping[str, float]) -> None:
    table = Table()
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(*(f"{metrics[name]:.4f}" for name in names))
    print_whole(table)


def _print_queries(names: list[str], metrics: Mapping[str, float]) -> None:
    """Print a row of each kind of queries of a generalised test, and of their harmonic mean."""
    table = Table("queries")
    for name in names:
        table.add_column(name, justify="right")
    rows = {"unseen classes": names}
    for kind, label in (("seen", "seen classes"), ("H", "H, harmonic mean")):
        rows[label] = [of_queries(name, kind) for name in names]
    for label, row in rows.items():
        shown = (f"{metrics[name]:.4f}" if name in metrics else "-" for name in row)
        table.add_row(label, *shown)
    print_whole(table)


def print_whole(table: Table) -> None:
    """Print a table as wide as it is: what it holds is there to be copied.

    A narrow terminal or a pipe must neither cut nor fold paths and figures.
    """
    needed = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(Console().width, needed), highlight=False).print(table)
