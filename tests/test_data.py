"""Splits, layouts, image formats and the triplets of training."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_modules import QuickDraw, SketchPhotoFolder, Sketchy, TUBerlin
from data_modules.images import FitTransform, read_image
from data_modules.names import canonical
from data_modules.sampling import EpochSampler
from data_modules.split import named_splits, read_class_list, resolve_split

SPLITS = Path(__import__("data_modules").__file__).parent / "splits"
# Counts and digests of the sorted canonical names: an edited list must be noticed.
PINNED = {
    "sketchy_104_21": (104, 21, "6f40204e50db7172"),
    "sketchy_100_25": (100, 25, "d70d938c244e8d0f"),
    "tuberlin_sempcyc": (220, 30, "2a1ad12316715334"),
    "tuberlin_sake": (220, 30, "033ceb60b5c37d29"),
    "quickdraw_80_30": (80, 30, "7e0ebff272a55cf5"),
}
SKETCHY_UNSEEN = """bat cabin cow dolphin door giraffe helicopter mouse pear raccoon rhinoceros saw
    scissors seagull skyscraper songbird sword tree wheelchair windmill window""".split()
QUICKDRAW_UNSEEN = """bat cow dolphin door giraffe helicopter mouse raccoon rhinoceros saw scissors
    skyscraper tree windmill feather campfire palm_tree fire_hydrant bread beach megaphone cactus
    zebra tiger shark frog banana cake hamburger fan""".split()


def class_list(name: str, side: str) -> list[str]:
    return read_class_list((SPLITS / f"{name}_{side}.txt").read_text("utf-8"))


@pytest.mark.parametrize("name", PINNED)
def test_published_splits(name):
    seen, unseen, digest = PINNED[name]
    lists = class_list(name, "seen"), class_list(name, "unseen")
    assert tuple(map(len, lists)) == tuple(len(set(x)) for x in lists) == (seen, unseen)
    assert not set(lists[0]) & set(lists[1])
    text = "|".join(",".join(sorted(x)) for x in lists)
    assert sha256(text.encode()).hexdigest()[:16] == digest
    assert resolve_split(name, [*lists[0], *lists[1]]).unseen == tuple(sorted(lists[1]))


def test_unseen_classes_are_the_papers():
    assert sorted(class_list("sketchy_104_21", "unseen")) == sorted(SKETCHY_UNSEEN)
    assert sorted(class_list("quickdraw_80_30", "unseen")) == sorted(QUICKDRAW_UNSEEN)


def test_two_lists_of_one_dataset_name_the_same_classes():
    for a, b in (("sketchy_104_21", "sketchy_100_25"), ("tuberlin_sempcyc", "tuberlin_sake")):
        everything = [{*class_list(n, "seen"), *class_list(n, "unseen")} for n in (a, b)]
        assert everything[0] == everything[1]


def test_every_split_in_the_package_is_disjoint_and_canonical():
    for name in named_splits():
        seen, unseen = class_list(name, "seen"), class_list(name, "unseen")
        assert not set(seen) & set(unseen), name
        assert all(canonical(c) == c for c in seen + unseen), name


@pytest.mark.parametrize(
    "spelling", ["palm tree", "palm_tree", "Palm-Tree", " palm  tree ", "PALM_TREE"]
)
def test_spellings_of_a_class_meet(spelling):
    assert canonical(spelling) == "palm_tree"


def test_random_split_depends_on_its_seed_alone():
    names = [f"c{i}" for i in range(20)]
    first = resolve_split("random:5:0", names)
    assert resolve_split("random:5:0", names[::-1]) == first
    assert resolve_split("random:5:1", names).unseen != first.unseen
    assert len(first.unseen) == 5
    assert sorted(first.seen + first.unseen) == sorted(names)


def write(path: Path, colour: str = "white", size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


LAYOUTS = [
    (Sketchy, "256x256/sketch/tx_000000000000_ready", "EXTEND_image_sketchy_ready"),
    (Sketchy, "256x256/sketch/tx_000000000000", "EXTEND_image_sketchy"),
    (Sketchy, "256x256/sketch/tx_000000000000", "256x256/photo/tx_000000000000"),
    (Sketchy, "sketch/tx_000000000000", "photo/tx_000000000000"),
    (TUBerlin, "png_ready", "ImageResized_ready"),
    (TUBerlin, "sketches", "images"),
    (QuickDraw, "QuickDraw_sketches_final", "QuickDraw_images_final"),
    (SketchPhotoFolder, "sketch", "photo"),
    (SketchPhotoFolder, "sketches", "images"),
]


@pytest.mark.parametrize(("data", "sketch", "photo"), LAYOUTS)
def test_layouts_as_the_datasets_unpack(tmp_path, data, sketch, photo):
    name = data.default_split
    classes = class_list(name, "seen") + class_list(name, "unseen") if name else list("abcdef")
    for class_name in classes:
        spelled = class_name.replace("_", " ")  # archives spell names their own way
        write(tmp_path / sketch / spelled / "s1.png")
        write(tmp_path / photo / spelled / "p1.jpg")
    module = data(root=str(tmp_path), split=None if name else "random:2:0", num_workers=0)
    assert len(module.split.unseen) == (len(class_list(name, "unseen")) if name else 2)
    queries, gallery = (loader.dataset for loader in module.test_dataloader())
    assert [c for _, c in queries.items] == [c for _, c in gallery.items]
    paths = {str(p.relative_to(tmp_path)).rpartition("/")[0] for p, _ in gallery.items}
    assert all(p.startswith(photo) for p in paths)


def test_extended_photos_are_used_alone(tmp_path):
    """They hold the base photos already; both together would double the gallery."""
    for name in class_list("sketchy_104_21", "seen") + class_list("sketchy_104_21", "unseen"):
        write(tmp_path / "256x256/sketch/tx_000000000000" / name / "s.png")
        write(tmp_path / "256x256/photo/tx_000000000000" / name / "p.jpg")
        write(tmp_path / "EXTEND_image_sketchy" / name / "p.jpg")
    photos = Sketchy(root=str(tmp_path)).listing[1]
    assert all(len(p) == 1 and "EXTEND" in str(p[0]) for p in photos.values())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.JPG", "a.webp", "a.bmp"])
def test_photo_formats(tmp_path, name):
    write(tmp_path / "sketch" / "c" / "s.png")
    write(tmp_path / "photo" / "c" / name, "red")
    listing = SketchPhotoFolder(root=str(tmp_path)).listing[1]
    (path,) = listing["c"]
    pixel = read_image(path)[3, 4].astype(int)
    assert np.abs(pixel - (255, 0, 0)).max() < 20


def transparent(mode: str) -> Image.Image:
    if mode == "P":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([200, 0, 0, 0, 0, 0])
        image.putpixel((0, 0), 0)
        image.info["transparency"] = 0
        return image
    image = Image.new(mode, (4, 4), (0, 0, 0, 255) if mode == "RGBA" else (0, 255))
    image.putpixel((0, 0), (200, 0, 0, 0) if mode == "RGBA" else (10, 0))
    return image


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
def test_transparency_is_white(tmp_path, mode):
    path = tmp_path / "a.png"
    image = transparent(mode)
    image.save(path, **({"transparency": 0} if mode == "P" else {}))
    pixels = read_image(path)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[2, 2].tolist() == [0, 0, 0]


def test_grey_and_16_bit_images_become_rgb(tmp_path):
    for mode, value in (("L", 90), ("1", 1), ("I;16", 1000), ("CMYK", (0, 0, 0, 0))):
        path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
        Image.new(mode, (5, 4), value).save(path)
        assert read_image(path).shape == (4, 5, 3), mode


@pytest.mark.parametrize(
    ("resize", "corner"), [("letterbox", 1.0), ("letterbox_black", 0.0), ("squash", 0.5)]
)
def test_resize_modes(resize, corner):
    grey = np.full((20, 40, 3), 127, np.uint8)
    fitted = FitTransform(32, resize, (0.0,) * 3, (1.0,) * 3)(grey)
    assert fitted.shape == (3, 32, 32)
    assert fitted.dtype == torch.float32
    assert fitted[:, 0, 0].mean().item() == pytest.approx(corner, abs=0.01)
    assert fitted[:, 16, 16].mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.fixture
def data(tree: Path) -> SketchPhotoFolder:
    return SketchPhotoFolder(
        root=str(tree), split="random:2:0", validation="none", num_workers=0, batch_size=4
    )


def drawn(data: SketchPhotoFolder, epoch: int, world: int = 1, workers: int = 0) -> dict:
    """Sketch index to the triplet drawn for it, over all processes."""
    dataset = data.train_dataloader().dataset
    triplets = {}
    for rank in range(world):
        sampler = EpochSampler(dataset, num_replicas=world, rank=rank, seed=data.seed)
        sampler.set_epoch(epoch)
        loader = torch.utils.data.DataLoader(
            dataset,
            sampler=sampler,
            num_workers=workers,
            batch_size=None,
            multiprocessing_context="fork" if workers else None,
        )
        for (_, index), item in zip(sampler, loader, strict=True):
            triplets[index] = (item.sketch, item.photo, item.negative, item.label)
    return triplets


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        all(torch.equal(x, y) for x, y in zip(a[i], b[i], strict=True)) for i in a
    )


def test_triplets_depend_on_seed_and_epoch_alone(data, tree):
    first = drawn(data, 3)
    assert len(first) == 6 * 3  # every seen sketch once
    assert same(first, drawn(data, 3))
    assert same(first, drawn(data, 3, workers=2))
    assert same(first, drawn(data, 3, world=2))
    assert not same(first, drawn(data, 4))
    data.seed = 1
    assert not same(first, drawn(data, 3))


def test_positive_is_of_the_sketchs_class_and_negative_never(data, monkeypatch):
    monkeypatch.setattr("data_modules.sampling.read_image", lambda path: path)
    dataset = data.train_dataloader().dataset
    dataset.transform = lambda path: torch.tensor(
        dataset.classes.index(canonical(path.parent.name))
    )
    others = set()
    for epoch in range(20):
        for index in range(len(dataset)):
            item = dataset[epoch, index]
            assert item.sketch == item.photo == item.label
            assert item.negative != item.label
            others.add((int(item.label), int(item.negative)))
    assert len(others) == 6 * 5  # every ordered pair of classes occurs


@pytest.mark.parametrize("validation", ["pseudo_unseen", "none"])
def test_unseen_classes_never_reach_training(tree, validation):
    data = SketchPhotoFolder(
        root=str(tree), split="random:2:0", validation=validation, num_workers=0
    )
    training = data.train_dataloader().dataset
    used = {p.parent.name for p, _ in training.items}
    used |= {p.parent.name for photos in training.photos for p in photos}
    hidden = {*data.split.unseen, *data.val_classes}
    assert {canonical(c) for c in used} == set(data.class_names) == set(training.classes)
    assert not hidden & set(data.class_names)
    queries, gallery = (loader.dataset for loader in data.test_dataloader())
    assert {canonical(p.parent.name) for p, _ in queries.items} == set(data.split.unseen)
    assert {canonical(p.parent.name) for p, _ in gallery.items} == set(data.split.unseen)


def test_text_bank_holds_the_training_classes_alone(run, monkeypatch):
    asked = []
    from sketchclip.clip import encoder

    real = encoder.encode_classes
    monkeypatch.setattr(encoder, "encode_classes", lambda *a: asked.append(list(a[2])) or real(*a))
    cli = run("fit", "--trainer.fast_dev_run", "1")
    assert asked == [cli.datamodule.class_names]
    assert not {*cli.datamodule.split.unseen, *cli.datamodule.val_classes} & set(asked[0])
    assert len(cli.model.text_bank) == 4  # 8 classes, 2 unseen, 2 for validation
    asked.clear()
    run("test", "--trainer.fast_dev_run", "1")
    assert asked == []  # testing needs no class name


def test_few_seen_classes_all_train_and_none_validates(tree):
    data = SketchPhotoFolder(str(tree), split="random:5:0")
    with pytest.warns(UserWarning, match="too few"):
        assert data.val_classes == []
    assert len(data.class_names) == 3
    assert data.val_dataloader() == []
