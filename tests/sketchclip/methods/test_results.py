"""One ranking an evaluation: the method ranks, everything else reads its results."""

from pathlib import Path

import pytest

from sketchclip.cli import main
from sketchclip.methods import FineGrainedPromptLearning, ZeroShotPromptLearning
from sketchclip.metrics import retrieval

PAIRS = ("--data.batch_size", "8", "--data.classes_per_batch", "4", "--model.lambda_delta", "0")


@pytest.fixture
def rankings(monkeypatch):
    """Calls of the ranking, by number of queries."""
    calls, real = [], retrieval.retrieval_scores

    def count(queries, *rest, **options):
        calls.append(len(queries))
        return real(queries, *rest, **options)

    monkeypatch.setattr(retrieval, "retrieval_scores", count)
    return calls


def test_a_test_ranks_once(run, rankings):
    cli = run("test", method="FrozenCLIP")
    assert rankings == [6]
    folder = Path(cli.trainer.log_dir)
    assert (folder / "grid.png").is_file()
    assert cli.model.results.first.shape == (6, 8)
    assert not cli.model.retrieval.query_states  # nothing is left on the metric


def test_a_validation_ranks_once_and_is_drawn(run, rankings):
    cli = run("fit", "--trainer.max_epochs", "2")
    assert rankings == [6, 6]
    drawn = sorted(path.name for path in Path(cli.trainer.log_dir).glob("grids/*.png"))
    assert drawn == ["epoch_001.png", "epoch_002.png"]


@pytest.mark.slow
def test_quickstart_ranks_once_a_model(rankings, tmp_path):
    main(["quickstart", "--seeds", "0", "--epochs", "1", "--output", str(tmp_path)])
    assert rankings.count(1280) == 2  # the frozen model and the adapted one
    assert (tmp_path / "before_after.png").is_file()


class InstanceLevel(ZeroShotPromptLearning):
    """Looks for the one photo, and trains on triplets of classes."""

    instance_level = True


class CategoryLevel(FineGrainedPromptLearning):
    """Trains on instances, and looks for the class."""

    instance_level = False


@pytest.mark.parametrize(
    ("method", "headline", "flags"),
    [(InstanceLevel, "Acc@1", ()), (CategoryLevel, "mAP@all", PAIRS)],
    ids=["instances", "classes"],
)
def test_the_method_says_what_is_measured(method, headline, flags, run):
    path = f"{method.__module__}.{method.__name__}"
    cli = run("fit", "--trainer.max_epochs", "1", *flags, method=path)
    (best,) = (c for c in cli.trainer.checkpoint_callbacks if type(c).__name__ == "BestCheckpoint")
    assert best.monitor == f"val/{headline}"
    assert Path(best.best_model_path).is_file()
    assert ("Acc@1" in cli.model.results.metrics) == (headline == "Acc@1")
