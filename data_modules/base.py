"""The base of all data modules: folders of sketches and photos, split by class."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader, DistributedSampler

from data_modules.batch import ImageBatch, Protocol, TripletBatch
from data_modules.classes import (
    Split,
    carve_validation,
    check_pairs,
    images_by_class,
    resolve_split,
)
from data_modules.images import FitTransform, Resize
from data_modules.sampling import EpochSampler, ImageDataset, TripletDataset
from sketchclip.errors import SketchClipError

Validation = Literal["pseudo_unseen", "test_classes", "none"]
Listing = dict[str, list[Path]]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class SketchPhotoDataModule(LightningDataModule):
    """Sketches and photos in class folders, with a split into seen and unseen classes.

    A dataset subclasses it with three class attributes and, if need be, :meth:`photo_role`.

    Args:
        root: Folder of the dataset.
        split: Name of a split in the package, random:<n_unseen>:<seed>, or a text file of unseen
            class names; null for the dataset's own.
        validation: pseudo_unseen sets seen classes aside for model selection, so the test classes
            are never looked at in training; test_classes is the field's habit; none trains on all
            seen classes and validates on nothing.
        val_fraction: Part of the seen classes set aside for pseudo_unseen.
        batch_size: Triplets in a training step over all processes together.
        eval_batch_size: Images a process embeds at a time.
        num_workers: Loader processes; null for one less than the cores, at most 8.
        resize: letterbox pads with white, letterbox_black as the released code does, squash ignores
            the aspect ratio, crop is CLIP's resize and centre crop.
        normalization: model uses the mean and standard deviation of the CLIP model, imagenet those
            of the released code.
        seed: Of the random photos and the order of triplets; null for seed_everything's.
    """

    layouts: ClassVar[Sequence[tuple[str, str]]] = (("sketch", "photo"),)
    """Pairs of (sketch folder, photo folder) under root, in the order they are tried."""

    default_split: ClassVar[str | None] = None
    protocol: Protocol = Protocol()

    def __init__(
        self,
        root: str | None = None,
        split: str | None = None,
        validation: Validation = "pseudo_unseen",
        val_fraction: float = 0.1,
        batch_size: int = 64,
        eval_batch_size: int = 128,
        num_workers: int | None = None,
        resize: Resize = "letterbox",
        normalization: Literal["model", "imagenet"] = "model",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.root = root
        self.split_name = split
        self.validation = validation
        self.val_fraction = val_fraction
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.num_workers = min(8, (cores or 1) - 1) if num_workers is None else num_workers
        self.resize = resize
        self.normalization = normalization
        # Lightning leaves seed_everything's value here, also for the processes that it starts.
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed

    def data_root(self) -> Path:
        """Folder of the dataset.

        Raises:
            SketchClipError: If none was given or it does not exist.
        """
        if self.root is None:
            raise SketchClipError(
                f"{type(self).__name__} needs a folder: --data.root=/path/to/data with "
                f"{self._layout_help()}."
            )
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise SketchClipError(
                f"Data root {root} does not exist. Expected a folder with {self._layout_help()}."
            )
        return root

    def _layout_help(self) -> str:
        return " or ".join(f"{s}/<class>/ and {p}/<class>/" for s, p in self.layouts)

    @cached_property
    def listing(self) -> tuple[Listing, Listing]:
        """Sketches and photos of every class that has both, by canonical class name."""
        root = self.data_root()
        for sketch_dir, photo_dir in self.layouts:
            if (root / sketch_dir).is_dir() and (root / photo_dir).is_dir():
                break
        else:
            found = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
            raise SketchClipError(
                f"{type(self).__name__}: expected {self._layout_help()} under {root}, "
                f"found {found}."
            )
        sketches, photos = images_by_class(root / sketch_dir), images_by_class(root / photo_dir)
        both, alone = check_pairs(sketches, photos)
        if alone:
            rank_zero_warn(
                f"{root}: left out {len(alone)} classes that have only sketches or only photos: "
                f"{', '.join(alone[:8])}"
            )
        return {c: sketches[c] for c in both}, {c: photos[c] for c in both}

    @cached_property
    def split(self) -> Split:
        """Seen and unseen classes, checked against the files."""
        name = self.split_name or self.default_split
        if name is None:
            raise SketchClipError(
                f"{type(self).__name__} has no split of its own. Name one: "
                "--data.split=random:<n_unseen>:<seed>, or a text file of unseen class names."
            )
        return resolve_split(name, self.listing[0])

    @cached_property
    def val_classes(self) -> list[str]:
        """Classes that validation retrieves among."""
        if self.validation == "pseudo_unseen":
            if len(self.split.seen) < 4:
                rank_zero_warn(
                    f"{len(self.split.seen)} seen classes are too few to set some aside: they all "
                    "train, and there is no validation."
                )
                return []
            return carve_validation(self.split.seen, self.val_fraction)
        if self.validation == "test_classes":
            rank_zero_warn(
                "data.validation=test_classes: a checkpoint chosen by it has seen the test classes."
            )
            return list(self.split.unseen)
        return []

    @property
    def class_names(self) -> list[str]:
        """Training classes in the order of their labels."""
        held_out = self.val_classes if self.validation == "pseudo_unseen" else []
        return [c for c in self.split.seen if c not in held_out]

    def photo_role(self, photo: Path) -> Literal["train", "gallery", "both"]:
        """Whether a photo is for training, for galleries or (the default) for both."""
        return "both"

    def _photos(self, classes: Sequence[str], role: str) -> Listing:
        photos = self.listing[1]
        return {c: [p for p in photos[c] if self.photo_role(p) in (role, "both")] for c in classes}

    def _transform(self) -> FitTransform:
        # The model knows its input; outside a Trainer, ViT-B/32's is assumed.
        model = self.trainer.lightning_module if self.trainer else None
        size = getattr(model, "image_size", 224)
        mean, std = getattr(model, "normalization", CLIP)
        if self.normalization == "imagenet":
            mean, std = IMAGENET
        return FitTransform(size, self.resize, mean, std)

    def _world(self) -> tuple[int, int]:
        """Number of processes and the rank of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def train_dataloader(self) -> DataLoader:
        """Triplets of the training classes."""
        classes, (processes, rank) = self.class_names, self._world()
        local, rest = divmod(self.batch_size, processes)
        if rest or not local:
            raise SketchClipError(
                f"data.batch_size={self.batch_size} is the batch of all processes together and "
                f"must be a multiple of their number, {processes}."
            )
        sketches = {c: self.listing[0][c] for c in classes}
        photos = self._photos(classes, "train")
        dataset = TripletDataset(sketches, photos, self._transform(), self.seed)
        return DataLoader(
            dataset,
            batch_size=local,
            sampler=EpochSampler(dataset, processes, rank, shuffle=True, seed=self.seed),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self._pin_memory(),
            collate_fn=TripletBatch.collate,
        )

    def _pin_memory(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _evaluation_loaders(self, classes: list[str]) -> list[DataLoader]:
        sketches = {c: self.listing[0][c] for c in classes}
        transform = self._transform()
        datasets = [
            ImageDataset(images, classes, transform)
            for images in (sketches, self._photos(classes, "gallery"))
        ]
        return [
            DataLoader(
                dataset,
                batch_size=self.eval_batch_size,
                sampler=DistributedSampler(dataset, *self._world(), shuffle=False),
                num_workers=self.num_workers,
                pin_memory=self._pin_memory(),
                collate_fn=ImageBatch.collate,
            )
            for dataset in datasets
        ]

    def val_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the validation classes; empty for validation=none."""
        return self._evaluation_loaders(self.val_classes) if self.val_classes else []

    def test_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the unseen classes: every photo once."""
        return self._evaluation_loaders(list(self.split.unseen))

    def predict_dataloader(self) -> list[DataLoader]:
        """The images of the test."""
        return self.test_dataloader()
