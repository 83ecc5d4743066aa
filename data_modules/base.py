"""The base of all data modules: folders of sketches and photos, split by class."""

import os
from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from data_modules.batch import SIDES, ImageBatch, Preprocessing, Protocol
from data_modules.datasets.evaluation import ImageDataset, instances
from data_modules.datasets.features import CachesFeatures, FeatureSource
from data_modules.datasets.hooks import CLIP, IMAGENET
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.image_table import ImageTable
from data_modules.datasets.pairing import training_dataset
from data_modules.datasets.sampling import ClassBatchSampler, EpochSampler, TrainingLoader
from data_modules.datasets.training import TrainingDataset
from data_modules.datasets.unreadable import UnreadableFiles
from data_modules.listing.scan import Listing
from data_modules.prepared.reader import PreparedReader, open_reader
from data_modules.splits.catalogue import Gallery, Validation
from data_modules.transforms import Augment, Augmented, Fit, Resize, Side
from sketchclip.errors import SketchClipError


class SketchPhotoDataModule(CachesFeatures, LightningDataModule):
    """Sketches and photos in class folders, with a split into seen and unseen classes.

    A dataset subclasses it with class attributes alone and has no constructor of its own.

    Args:
        root: Folder of the dataset.
        sketch_files: Pattern under root that replaces the dataset's own layout, such as
            "<class>/sketch/*" or "<class>/*_sketch.png"; null for the known layouts.
        photo_files: The same for photos.
        split: Name of a split in the package, random:<n_unseen>:<seed>, or a text file of unseen
            class names; null for the dataset's own.
        validation: pseudo_unseen sets seen classes aside for model selection, so the test classes
            are never looked at in training; test_classes is the field's habit; none trains on all
            seen classes and validates on nothing.
        val_fraction: Part of the seen classes set aside for pseudo_unseen.
        train_fraction: Part of the training samples of each class to use, 0 to 1; smaller parts
            are subsets of larger ones. Evaluation is unchanged.
        seen_classes: Number of seen classes to train on; null for all. Smaller choices are subsets
            of larger ones. Evaluation is unchanged.
        subset_seed: Of train_fraction, seen_classes and generalized; null for the value of seed,
            so that repeats of a study differ in the part drawn, too.
        generalized: Part of the photos of each seen class that leaves training and joins the test
            gallery (generalised zero-shot); 0 for the zero-shot gallery.
        gallery: dedup holds each photo once; zse_dup, for Sketchy-Extended, repeats the base photos
            as the lists of ZSE-SBIR and SAKE do; random_pairs is one random photo of its class for
            each sketch, as the released code evaluates, and comparable with nothing else.
        batch_size: Training samples in a step over all processes together.
        classes_per_batch: Classes in a batch of methods that need several samples a class;
            batch_size must be a multiple.
        shuffle: Train in random order; the released code keeps that of classes and file names.
            Batches of classes are always random.
        eval_batch_size: Images a process embeds at a time.
        num_workers: Loader processes; null for one less than the cores, at most 8.
        resize: letterbox pads with white, letterbox_black as the released code does, squash ignores
            the aspect ratio, crop is CLIP's resize and centre crop.
        augment: Images to augment in training: none, sketches, photos or both.
        normalization: model uses the mean and standard deviation of the CLIP model, imagenet those
            of the released code.
        allow_trained_classes: Measure on classes that the model was trained on all the same.
            Results say so and share no table with zero-shot ones.
        on_error: raise stops at an unreadable file; skip trains without it, leaves it out of
            evaluation, and lists all such files at the end.
        prepared: Folder of 'sketchclip data prepare', whose images are read in place of the files.
        seed: Of the random photos and the order of triplets; null for seed_everything's.
    """

    protocol: ClassVar[Protocol] = Protocol()

    def __init__(
        self,
        root: str | None = None,
        sketch_files: str | None = None,
        photo_files: str | None = None,
        split: str | None = None,
        validation: Validation = "pseudo_unseen",
        val_fraction: float = 0.1,
        train_fraction: float = 1.0,
        seen_classes: int | None = None,
        subset_seed: int | None = 0,
        generalized: float = 0.0,
        gallery: Gallery = "dedup",
        batch_size: int = 64,
        classes_per_batch: int = 16,
        shuffle: bool = True,
        eval_batch_size: int = 128,
        num_workers: int | None = None,
        resize: Resize = "letterbox",
        augment: Augmented = "none",
        normalization: Literal["model", "imagenet"] = "model",
        allow_trained_classes: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        prepared: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.root = root
        self.sketch_files = sketch_files
        self.photo_files = photo_files
        self.split_name = split
        self.validation = validation
        self.val_fraction = val_fraction
        self.train_fraction = train_fraction
        self.seen_classes = seen_classes
        self.generalized = generalized
        self.gallery = gallery
        self.batch_size = batch_size
        self.classes_per_batch = classes_per_batch
        self.shuffle = shuffle
        self.eval_batch_size = eval_batch_size
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.num_workers = min(8, (cores or 1) - 1) if num_workers is None else num_workers
        self.resize = resize
        self.augment = augment
        self.normalization = normalization
        self.allow_trained_classes = allow_trained_classes
        self.on_error = on_error
        self.prepared = prepared
        # Lightning leaves seed_everything's value here, also for the processes that it starts.
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.subset_seed = self.seed if subset_seed is None else subset_seed
        self.unreadable = UnreadableFiles()

    def _world(self) -> tuple[int, int]:
        """Number of processes and the rank of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _pin_memory(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    @property
    def preprocessing(self) -> Preprocessing:
        """Steps from an image to the model's input, of all images of the run."""
        own = self.method_says("normalization", CLIP)
        mean, std = IMAGENET if self.normalization == "imagenet" else own
        kind = self.method_says("interpolation", "bicubic")
        return Preprocessing(self._size, mean, std, self.resize, kind)

    @property
    def _size(self) -> int:
        return self.method_says("image_size", 224)  # ViT-B/32's without a model

    def _source(self, files: Iterable[Listing], augment: bool = False) -> ImageSource:
        """Reader of these files with the settings of this run."""
        fit = Fit(self._size, self.resize, self.method_says("interpolation", "bicubic"))
        reader = open_reader(fit, self.prepared, self.data_root())
        if isinstance(reader, PreparedReader):
            reader.report(path for listing in files for paths in listing.values() for path in paths)
        changes = None
        if augment and self.augment != "none":
            # A mirrored photo is no longer what its sketch shows, unless both are mirrored.
            flip = self.method_says("pairing", "") != "instance_triplet" or self.augment == "both"
            changes = Augment(self._size, self.augment, flip)
        points = self.method_says("stroke_points", 0)
        return ImageSource(reader, self.seed, changes, self.on_error == "skip", points)

    def train_dataloader(self) -> DataLoader:
        """Batches of the training classes as the method asks for them, uint8 (see normalize)."""
        processes, rank = self._world()
        local, rest = divmod(self.batch_size, processes)
        if rest or not local:
            raise SketchClipError(
                f"data.batch_size={self.batch_size} is the batch of all processes together and "
                f"must be a multiple of their number, {processes}."
            )
        sketches, photos = self.train_sketches(), self.train_photos()
        if self.features is None:
            source, workers = self._source((sketches, photos), augment=True), self.num_workers
        else:  # in memory, so that processes would only copy them
            source, workers = FeatureSource(self.features, self.seed), 0
        dataset = training_dataset(
            self.method_says("pairing", "class_triplet"),
            sketches,
            photos,
            self.class_names,
            source,
            self.instance_of,
            self.method_says("sketch_ratio", 0.5),
        )
        return TrainingLoader(
            dataset,
            batch_size=local,
            sampler=self._sampler(dataset, processes, rank),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._pin_memory(),
            collate_fn=dataset.batch.collate,
        )

    def _sampler(self, dataset: TrainingDataset, processes: int, rank: int) -> EpochSampler:
        if self.method_says("batch_layout", "shuffled") == "shuffled":
            return EpochSampler(dataset, processes, rank, shuffle=self.shuffle, seed=self.seed)
        if dataset.batch is ImageBatch:
            raise SketchClipError("A method of pairing singles has no batches of classes.")
        if getattr(self.trainer, "overfit_batches", 0):
            raise SketchClipError(
                "trainer.overfit_batches would break up the method's batches of classes. Use "
                "--trainer.limit_train_batches."
            )
        shape = (self.classes_per_batch, self.batch_size)
        return ClassBatchSampler(
            dataset, dataset.sketches.counts, *shape, processes, rank, self.seed
        )

    def _evaluation_loaders(self, classes: list[str]) -> list[DataLoader]:
        files = (self.query_sketches(classes), self.gallery_photos(classes))
        ids = instances(*files, classes, self.instance_of)
        source = self._source(files)
        loaders = []
        for images, side, positions in zip(files, SIDES, ids, strict=True):
            dataset = ImageDataset(images, classes, source, side, self._size, positions)
            order: Sampler = DistributedSampler(dataset, *self._world(), shuffle=False)
            loaders.append(self._image_loader(dataset, order))
        return loaders

    def _single_images(self, images: Listing, side: Side) -> tuple[DataLoader, ImageTable]:
        source, none = self._source([images]), np.full(sum(map(len, images.values())), -1)
        dataset = ImageDataset(images, self.class_names, source, side, self._size, none)
        return self._image_loader(dataset), dataset.items

    def _image_loader(self, dataset: ImageDataset, order: Sampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,
            sampler=order,
            num_workers=self.num_workers,
            pin_memory=self._pin_memory(),
            collate_fn=ImageBatch.collate,
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the validation classes; empty for validation=none."""
        return self._evaluation_loaders(self.val_classes) if self.val_classes else []

    def test_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the test classes: every photo once."""
        return self._evaluation_loaders(self.test_classes)

    def predict_dataloader(self) -> list[DataLoader]:
        """The images of the test."""
        return self.test_dataloader()
