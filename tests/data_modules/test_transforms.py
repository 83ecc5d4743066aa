"""Fitting into the square, augmentation that depends on its seeds alone, normalization."""

import pickle
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from data_modules.transforms import Augment, Fit, Resize, normalize
from tests.helpers.paths import REPOSITORY

WHITE = 255


def scene(height: int = 48, width: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth colors without white, nothing symmetric."""
    small = np.random.default_rng(seed).integers(20, 220, (4, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def drawing(size: int = 112, width: int = 5) -> np.ndarray:
    """Black lines on white, nothing symmetric."""
    image = np.full((size, size, 3), WHITE, np.uint8)
    image[size // 5 : size // 5 + width, size // 5 : -size // 3] = 0
    image[size // 5 : -size // 5, size // 5 : size // 5 + width] = 0
    return image


# Fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resize", "corner"), [("letterbox", 255), ("letterbox_black", 0), ("squash", 127)]
)
def test_resize_modes(resize, corner):
    fitted = Fit(32, resize)(np.full((20, 40, 3), 127, np.uint8))
    assert fitted.shape == (32, 32, 3)
    assert fitted.dtype == np.uint8
    assert (fitted[0, 0] == corner).all()
    assert np.abs(fitted[16, 16].astype(int) - 127).max() <= 1


def test_crop_takes_the_center():
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40] = 200
    assert (Fit(20, "crop")(image) == 200).all()
    assert (Fit(10, "crop")(np.ascontiguousarray(image.transpose(1, 0, 2))) == 200).all()


sides = st.one_of(st.integers(1, 40), st.integers(1, 700), st.just(1))


@settings(max_examples=150, deadline=None)
@given(height=sides, width=sides, size=st.sampled_from([16, 31, 32, 56]))
def test_letterbox_geometry(height, width, size):
    """One scale for both sides, centered, white around and only there."""
    fitted = Fit(size)(np.full((height, width, 3), 90, np.uint8))
    assert fitted.shape == (size, size, 3)
    ink = (fitted != WHITE).all(axis=2)
    rows, columns = ink.any(axis=1), ink.any(axis=0)
    tall, wide = int(rows.sum()), int(columns.sum())
    assert (ink == rows[:, None] & columns[None]).all()  # a full rectangle
    assert (np.abs(fitted[ink].astype(int) - 90) <= 1).all()
    assert max(tall, wide) == size
    scale = size / max(height, width)
    assert abs(tall - max(1, height * scale)) <= 0.5
    assert abs(wide - max(1, width * scale)) <= 0.5
    for filled, count in ((rows, tall), (columns, wide)):
        before, after = int(filled.argmax()), int(filled[::-1].argmax())
        assert before + count + after == size
        assert 0 <= after - before <= 1


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, resize=st.sampled_from(get_args(Resize)))
def test_every_mode_fills_its_square_and_keeps_a_flat_color(height, width, resize):
    fitted = Fit(24, resize)(np.full((height, width, 3), 90, np.uint8))
    assert fitted.shape == (24, 24, 3)
    if resize in ("squash", "crop"):
        assert np.abs(fitted.astype(int) - 90).max() <= 1


def test_a_strip_of_one_pixel_does_not_fill_the_memory(monkeypatch):
    strip = np.full((1, 60_000, 3), 9, np.uint8)
    scaled, real = [], Fit._scale

    def record(self: Fit, image: np.ndarray, width: int, height: int) -> np.ndarray:
        scaled.append(width * height)
        assert scaled[-1] < 10 * 224**2
        return real(self, image, width, height)

    monkeypatch.setattr(Fit, "_scale", record)
    assert (Fit(224, "crop")(strip) == 9).all()
    assert ((Fit(224)(strip) == 9).all(axis=2)).sum() == 224
    assert len(scaled) == 2


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-9))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("height", "width"),
    [(448, 448), (256, 256), (300, 300), (500, 375), (333, 1000), (112, 112), (100, 61)],
)
def test_resizing_is_near_to_that_of_clip(height, width, interpolation):
    """CLIP's preprocessing is Pillow's antialiased bicubic; thin lines show any aliasing."""
    image = scene(height, width)
    image[:: max(height // 9, 4), :] = 0
    image[:, :: max(width // 7, 4)] = 0
    size = 224
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BICUBIC if interpolation == "bicubic" else Image.Resampling.BILINEAR
    expected = np.array(Image.fromarray(image).resize(shape, method))
    top, left = (size - shape[1]) // 2, (size - shape[0]) // 2
    fitted = Fit(size, "letterbox", interpolation)(image)
    fitted = fitted[top : top + shape[1], left : left + shape[0]]
    assert psnr(fitted, expected) > 27
    if scale < 1 / 1.2 and (height, width) != (448, 448):
        assert np.abs(fitted.astype(int) - expected).max() <= 1


def test_fit_leaves_a_fitting_image_and_its_input_alone():
    image = scene(32, 32)
    assert (Fit(32)(image) == image).all()
    image.flags.writeable = False
    for resize in get_args(Resize):
        for size in (8, 20, 50):
            assert Fit(size, resize)(image).shape == (size, size, 3)


@pytest.mark.filterwarnings("error")
def test_fit_takes_views_and_read_only_arrays():
    image = scene(100, 140)
    expected = Fit(32)(np.ascontiguousarray(image[::-1]))
    image.flags.writeable = False
    assert (Fit(32)(image[::-1]) == expected).all()


# Augment -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def augment() -> Augment:
    return Augment(112, "both")


def test_sides_that_are_not_augmented_stay():
    image = drawing()
    for which, changed in (("none", ()), ("sketches", ("sketch",)), ("photos", ("photo",))):
        augment = Augment(112, which)
        for side in ("sketch", "photo"):
            same = all((augment(image, side, s, s) == image).all() for s in range(5))
            assert same == (side not in changed), (which, side)


@pytest.mark.parametrize("side", ["sketch", "photo"])
def test_equal_seeds_give_equal_images_and_others_differ(augment, side):
    image = drawing() if side == "sketch" else scene(112, 112)
    before = image.copy()
    first = [augment(image, side, s, s + 1) for s in range(30)]
    assert all(a.shape == image.shape and a.dtype == np.uint8 for a in first)
    again = [Augment(112, "both")(image, side, s, s + 1) for s in reversed(range(30))][::-1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({a.tobytes() for a in first}) == 30
    assert (image == before).all()
    # Each seed counts on its own.
    assert len({augment(image, side, s, 0).tobytes() for s in range(30)}) == 30
    looks = {augment(image, side, 0, s).tobytes() for s in range(30)}
    assert len(looks) >= (3 if side == "sketch" else 15)  # lines are kept, widened or thinned


def test_large_seeds_and_global_generators_do_not_matter(augment):
    image = scene(112, 112)
    first = augment(image, "photo", 2**63, 2**64 - 1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert (augment(image, "photo", 2**63, 2**64 - 1) == first).all()


def test_paired_sides_move_alike():
    """A dark square is where it is on the other side, mirrored or not."""
    augment = Augment(112, "both")
    image = np.full((112, 112, 3), WHITE, np.uint8)
    image[20:50, 60:95] = 0
    flipped = 0
    for seed in range(40):
        boxes = []
        for side in ("sketch", "photo"):
            ink = augment(image, side, geometry=seed, appearance=7 * seed + len(side))[..., 1] < 128
            ys, xs = np.nonzero(ink)
            boxes.append((ys.min(), ys.max(), xs.min(), xs.max()))
        assert np.abs(np.subtract(*boxes)).max() <= 2, seed  # lines may differ in width
        flipped += np.mean(boxes[0][2:]) < 56
    assert 8 < flipped < 32


def test_flips_can_be_turned_off():
    image = np.full((112, 112, 3), WHITE, np.uint8)
    image[20:50, 70:95] = 0
    for which, side in (("photos", "photo"), ("sketches", "sketch")):
        augment = Augment(112, which, flip=False)
        for seed in range(20):
            xs = np.nonzero((augment(image, side, seed, 0)[..., 1] < 128).any(axis=0))[0]
            assert xs.mean() > 56


@pytest.mark.parametrize("side", ["sketch", "photo"])
def test_what_comes_into_view_is_white_and_white_stays(augment, side):
    image = Fit(112)(scene(112, 80)) if side == "photo" else drawing()
    for seed in range(25):
        changed = augment(image, side, seed, seed)
        corners = changed[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners == WHITE).all(), seed
    moved = [augment(np.zeros((112, 112, 3), np.uint8), side, s, s) for s in range(25)]
    outside = [m for m in moved if (m[0, 0] != 0).any()]
    assert len(outside) > 5  # turned or made smaller, a black page shows its surroundings
    assert sum((m[0, 0] == WHITE).all() for m in outside) > 3  # at an edge they mix


def test_sketches_get_other_lines_but_never_colors_and_never_vanish(augment):
    for width in (1, 2, 5):
        image = drawing(width=width)
        ink = 255 - image.mean()
        shares = []
        for seed in range(40):
            changed = augment(image, "sketch", 0, seed)
            assert (changed == changed[..., :1]).all()
            shares.append((255 - changed.mean()) / ink)
        assert min(shares) > 0.3, width
        assert max(shares) > 1.15, width
        assert len({round(s, 2) for s in shares}) > 1 + (width > 2)


def test_photos_change_in_color_and_keep_their_lines(augment):
    image = scene(112, 112)
    means = np.array([augment(image, "photo", 0, s).mean(axis=(0, 1)) for s in range(30)])
    assert means.std(axis=0).min() > 2
    assert np.abs(means - means.mean(axis=0)).max() < 80  # mild


class Stream(Dataset):
    """Draws as the datasets do: seeds from (seed, epoch, index)."""

    def __init__(self) -> None:
        self.augment = Augment(48, "both")
        self.epoch = 0

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> torch.Tensor:
        geometry, appearance = np.random.SeedSequence((5, self.epoch, index)).generate_state(2)
        return torch.from_numpy(
            self.augment(scene(48, 48), "photo", int(geometry), int(appearance))
        )


def epochs(workers: int) -> list[list[bytes]]:
    dataset, streams = Stream(), []
    for dataset.epoch in range(2):
        loader = DataLoader(
            dataset,
            batch_size=2,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )
        streams.append([image.numpy().tobytes() for batch in loader for image in batch])
    return streams


def test_streams_are_unique_over_workers_and_epochs_and_equal_over_runs():
    """albumentations 2.0.8 alone repeats itself: 4 unique images of 8 with two workers."""
    streams = epochs(2)
    assert len({image for stream in streams for image in stream}) == 32
    assert epochs(2) == streams
    assert epochs(0) == streams


def test_augment_and_fit_can_be_pickled(augment):
    image = scene(112, 112)
    copy = pickle.loads(pickle.dumps(augment))
    assert (copy(image, "photo", 3, 4) == augment(image, "photo", 3, 4)).all()
    assert (pickle.loads(pickle.dumps(Fit(50)))(image) == Fit(50)(image)).all()


# Normalize -----------------------------------------------------------------------------------


def test_normalize_is_that_of_torchvision():
    from torchvision.transforms.v2.functional import normalize as reference

    images = torch.randint(0, 256, (3, 3, 5, 4), dtype=torch.uint8)
    mean, std = (0.48, 0.45, 0.4), (0.26, 0.2, 0.27)
    normalized = normalize(images, mean, std)
    assert normalized.dtype == torch.float32
    assert torch.allclose(normalized, reference(images / 255, list(mean), list(std)), atol=1e-6)
    assert images.dtype == torch.uint8


def test_heavy_imports_wait_until_they_are_needed():
    """The command line answers --help without them."""
    code = (
        "import sys, types;"
        "package = types.ModuleType('data_modules');"  # alone, without Lightning: seconds
        "package.__path__ = ['data_modules'];"
        "sys.modules['data_modules'] = package;"
        "from data_modules import transforms; from data_modules.images import decode, drawings;"
        "transforms.Augment(8);"
        "sys.exit(str([m for m in ('albumentations', 'cv2', 'svgelements') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.stderr.strip().endswith("[]"), done.stderr
