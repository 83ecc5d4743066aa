"""The files of a run: metrics as CSV, in a folder that no other run has."""

from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from sketchclip.run_folder import claim


def is_main() -> bool:
    """Whether this process is the only one, or the first of several."""
    return not getattr(rank_zero_only, "rank", 0)


class RunFiles(CSVLogger):
    """Writes ``metrics.csv`` into ``<save_dir>/<name>/version_<n>``.

    Lightning's own logger looks for the next free number and makes the folder later, so that two
    runs which start at the same instant share one. Here it is made when its number is chosen.

    Args:
        save_dir: Where run folders are.
        name: Experiment: the folder in save_dir.
        version: Folder of the run; null for the next free number.
    """

    def __init__(
        self,
        save_dir: str = "runs",
        name: str = "experiment",
        version: int | str | None = None,
    ) -> None:
        super().__init__(save_dir, name, version)

    def _get_next_version(self) -> int:
        number = super()._get_next_version()
        if not is_main():  # the folder is that of the main process, which tells the others
            return number
        numbers = range(number, number + 10_000)
        folder = claim(Path(self.root_dir), (f"version_{n}" for n in numbers))
        return int(folder.name.rpartition("_")[2])
