"""Methods that rank in another way than by cosine: evaluated, indexed, searched, exported."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

import sketchclip
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.methods import FrozenCLIP
from sketchclip.metrics import TwoStages, retrieval_scores
from sketchclip.search.index import Hit
from tests.helpers.toys import EuclideanMethod, HammingMethod, PairMethod, ShortlistMethod

TOYS = (EuclideanMethod, HammingMethod, PairMethod)


@pytest.fixture
def fit(tree, tmp_path):
    """A toy that was fitted for an epoch; returns its run folder."""

    def call(toy: type) -> Path:
        cli = main(
            [
                *("fit", "--model", f"tests.helpers.toys.{toy.__name__}"),
                *("--data", "SketchPhotoFolder", "--data.root", str(tree)),
                *("--data.split", "random:4:0", "--data.validation", "none"),
                *("--data.num_workers", "0", "--data.batch_size", "6"),
                *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "1"),
                *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path / "runs")),
            ]
        )
        return Path(cli.trainer.log_dir)

    return call


def distances(toy: type, queries: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Distance of each query from each photo, written out."""
    if toy is HammingMethod:
        return ((queries[:, None] > 0) != (photos[None] > 0)).sum(2)
    return np.sqrt(((queries[:, None] - photos[None]) ** 2).sum(2))


@pytest.mark.parametrize("toy", [EuclideanMethod, HammingMethod])
def test_every_part_ranks_by_the_same_distance(toy, fit, tree, tmp_path, capsys):
    folder = fit(toy)
    tested = main(["test", "--ckpt_path", str(folder), "--data.num_workers", "0"])
    sides = tested.trainer.predict(tested.model, datamodule=tested.datamodule)
    (queries, labels), (photos, classes) = (
        (torch.cat([b["state"] for b in side]), torch.cat([b["label"] for b in side]))
        for side in sides
    )
    apart = distances(toy, queries.numpy(), photos.numpy())
    order = np.argsort(apart, axis=1, kind="stable")
    assert tested.model.results.first.tolist() == order[:, :10].tolist()
    other = retrieval_scores(queries, labels, photos, classes)["mAP@all"].mean()
    measured = tested.model.results.metrics["mAP@all"]
    ours = retrieval_scores(queries, labels, photos, classes, similarity=toy.similarity)
    assert measured == pytest.approx(float(ours["mAP@all"].mean()), abs=1e-6)
    assert measured != pytest.approx(float(other), abs=1e-4)  # cosine is another ranking

    index = str(tmp_path / "index")
    main(["index", str(tree / "photo"), "-o", index, "--model", str(folder)])
    model = sketchclip.from_pretrained(folder)
    files = sorted((tree / "photo").glob("*/*.png"))
    sketch = min((tree / "sketch").glob("*/*.png"))
    expected = distances(toy, model.sketches([sketch]), model.photos(files))[0]
    capsys.readouterr()
    found = main(["search", str(sketch), "--index", index, "-k", str(len(files))])
    shown = capsys.readouterr().out
    assert ("distance" if toy is EuclideanMethod else "bits apart") in shown
    assert [-hit.score for hit in found] == pytest.approx(sorted(expected), rel=1e-4, abs=1e-4)
    by_file = dict(zip(map(str, files), expected, strict=True))
    assert [-hit.score for hit in found] == pytest.approx(
        [by_file[str(hit.path)] for hit in found], rel=1e-4, abs=1e-4
    )
    with pytest.raises(SketchClipError, match="no text encoder"):
        model.texts(["a red square"])


@pytest.mark.slow
@pytest.mark.parametrize("toy", [EuclideanMethod, HammingMethod])
def test_onnx_files_give_the_vectors_that_search_compares(toy, fit, tree, tmp_path):
    pytest.importorskip("onnxruntime")
    import onnxruntime

    folder, exported = fit(toy), tmp_path / "exported"
    told = main(["export", str(folder), "--to", str(exported), "--onnx", "--queries", "1"])
    assert told["similarity"] == toy.similarity
    assert told["onnx"]["onnx"]["same_first_10"] == 1
    model = sketchclip.from_pretrained(exported)
    files = sorted((tree / "photo").glob("*/*.png"))[:5]
    session = onnxruntime.InferenceSession(exported / "photo.onnx")
    (vectors,) = session.run(None, {"images": np.stack([model.read(file) for file in files])})
    np.testing.assert_allclose(vectors, model.photos(files), rtol=1e-3, atol=1e-4)
    if toy is EuclideanMethod:
        assert np.ptp(np.linalg.norm(vectors, axis=1)) > 1e-3  # not of unit length
    else:
        assert {*np.unique(vectors)} == {-1.0, 1.0}


def test_a_score_of_pairs_orders_all_photos_or_a_shortlist(
    fit, tree, tmp_path, capsys, monkeypatch
):
    folder = fit(PairMethod)
    main(["test", "--ckpt_path", str(folder), "--data.num_workers", "0"])
    index = str(tmp_path / "index")
    photos = Path(shutil.copytree(tree / "photo", tmp_path / "photos"))
    main(["index", str(photos), "-o", index, "--model", str(folder)])
    shutil.copy(min(photos.glob("*/*.png")), photos / "again.png")  # known by its content
    main(["index", "-o", index, "--update"])
    model = sketchclip.from_pretrained(folder)
    files = sorted(photos.glob("*/*.png"))
    sketch = min((tree / "sketch").glob("*/*.png"))
    _, states = model.indexed([model.read(file) for file in files])
    _, score = model.query(sketch)
    scores = score(states)
    vectors = model.photos(files) @ model.sketches([sketch])[0]
    assert np.argsort(-scores).tolist() != np.argsort(-vectors).tolist()
    names = dict(zip(files, scores, strict=True))
    names[photos / "again.png"] = names.pop(files[0])  # equal files are one photo, the first named

    def best(chosen: Iterable[Path]) -> list[tuple[Path, float]]:
        return sorted(((p, names[p]) for p in chosen), key=lambda pair: (-pair[1], pair[0]))[:5]

    def found(*flags: str) -> list[Hit]:
        capsys.readouterr()
        return main(["search", str(sketch), "--index", index, "-k", "5", *flags])

    def check(hits: list[Hit], expected: list[tuple[Path, float]], shortlist: int) -> None:
        assert [hit.path for hit in hits] == [path for path, _ in expected]
        assert [h.score for h in hits] == pytest.approx([s for _, s in expected], abs=1e-5)
        assert {hit.shortlist for hit in hits} == {shortlist}

    check(found(), best(names), 0)
    assert "nearest by vector" not in capsys.readouterr().out
    one = files[-1].parent.name
    check(found("--class-filter", one), best(p for p in names if p.parent.name == one), 0)
    with pytest.raises(SystemExit):
        found("--class-filter", "dog")
    assert "no class 'dog'" in capsys.readouterr().err

    near = sorted(zip(-vectors, [photos / "again.png", *files[1:]], strict=True))[:8]
    monkeypatch.setattr("sketchclip.search.index.SHORTLIST", 8)
    for limit, value in (("APPROXIMATE_FROM", 10), ("SCORED_NUMBERS", 32 * 16 - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(f"sketchclip.search.index.{limit}", value)
            check(found(), best(path for _, path in near), 8)
            told = " ".join(capsys.readouterr().out.split())  # the caption is folded
            assert "its score compared the 8 nearest by vector" in told
            check(found("--class-filter", one), best(p for p in names if p.parent.name == one), 0)


def test_search_and_evaluation_have_the_same_two_stages(fit, tree, tmp_path, capsys, monkeypatch):
    folder = fit(ShortlistMethod)
    tested = main(["test", "--ckpt_path", str(folder), "--data.num_workers", "0"])
    assert tested.model.results.ranking == "score@5"
    assert "; ranked by score@5" in " ".join(capsys.readouterr().out.split())
    result = json.loads((folder / "test" / "metrics.json").read_text())
    assert result["ranking"] == "score@5"
    index, photos = str(tmp_path / "index"), tree / "photo"
    main(["index", str(photos), "-o", index, "--model", str(folder)])
    model = sketchclip.from_pretrained(folder)
    files = sorted(photos.glob("*/*.png"))
    _, states = model.indexed([model.read(file) for file in files])
    sketch = min((tree / "sketch").glob("*/*.png"))
    vector, score = model.query(sketch)
    gallery = torch.from_numpy(states).unflatten(1, score.shape)
    ranked = TwoStages(model.module.score, model.module.vector, shortlist=5)
    order = ranked.ranks(score.query, gallery)[0].argsort().tolist()
    near = np.argsort(-(model.photos(files) @ vector), kind="stable").tolist()
    assert set(order[:5]) == set(near[:5])
    assert order[:5] != near[:5]
    assert order[5:] == near[5:]
    monkeypatch.setattr("sketchclip.search.index.READ_NUMBERS", 2 * model.state_width)
    for k in (3, 8):
        hits = main(["search", str(sketch), "--index", index, "-k", str(k)])
        assert [hit.path for hit in hits] == [files[at] for at in order[:k]]
        assert {hit.shortlist for hit in hits} == {5}
        told = " ".join(capsys.readouterr().out.split())
        assert "its score compared the 5 nearest by vector" in told
    few = f"{files[-1].parent.name}"
    monkeypatch.setattr(ShortlistMethod, "shortlist", len([*(photos / few).glob("*.png")]))
    hits = main(["search", str(sketch), "--index", index, "-k", "3", "--class-filter", few])
    assert {hit.shortlist for hit in hits} == {0}  # all of the class were scored


class ScoreAlone(FrozenCLIP):
    def score(self, queries, gallery):
        return -torch.cdist(queries, gallery)


def test_a_score_without_vectors_is_refused(run):
    path = f"{ScoreAlone.__module__}.ScoreAlone"
    tested = run("test", method=path)
    assert json.loads((Path(tested.trainer.log_dir) / "metrics.json").read_text())["metrics"]
    module = tested.model
    with pytest.raises(SketchClipError, match=r"override vector\(\) beside score\(\)"):
        sketchclip.pretrained.model.SearchModel(
            module, "a model", module.preprocessing, torch.device("cpu"), {}, {}
        )
