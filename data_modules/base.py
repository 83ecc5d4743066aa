"""The base of all data modules: folders of sketches and photos, split by class."""

import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning.fabric.utilities import suggested_max_num_workers
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from data_modules.batch import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIDES,
    B,
    BatchSpec,
    ImageBatch,
    Preprocessing,
    Protocol,
    TensorBatch,
)
from data_modules.datasets.evaluation import ImageDataset, evaluation_datasets
from data_modules.datasets.features import FeatureSource, training_features
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.pairing import training_dataset
from data_modules.datasets.sampling import EpochSampler, TrainingLoader, training_sampler
from data_modules.datasets.training import TrainingDataset
from data_modules.datasets.unreadable import UnreadableFiles
from data_modules.listing.scan import Listing
from data_modules.prepared.reader import PreparedReader, open_reader
from data_modules.ranges import CheckedArguments, Count, Natural, NotAll, Seed, SomePart, TruePart
from data_modules.splits.catalogue import Catalogue
from data_modules.splits.classes import (
    Gallery,
    GeneralizedQueries,
    SplitSettings,
    Validation,
    refuse_split_by_model,
)
from data_modules.splits.dataset_files import Dataset, DatasetFiles
from data_modules.transforms import Augment, Augmented, Resize, Side, normalize
from sketchclip.errors import SketchClipError


class SketchPhotoDataModule(CheckedArguments, Dataset, LightningDataModule):
    """Sketches and photos in class folders, with a split into seen and unseen classes.

    A dataset subclasses it with class attributes alone and has no constructor of its own.

    Args:
        root: Folder of the dataset.
        sketch_files: Pattern under root that replaces the dataset's own layout, such as
            "<class>/sketch/*" or "<class>/*_sketch.png"; null for the known layouts.
        photo_files: The same for photos.
        split: Name of a split in the package, random:<n_unseen>:<seed>, or a text file of unseen
            class names; unseen_by_model tests a model on every class that it was not trained on;
            null for the dataset's own.
        validation: pseudo_unseen sets seen classes aside for model selection; test_classes looks at
            the test classes, as is the field's habit; none trains on all seen classes.
        val_fraction: Part of the seen classes set aside for pseudo_unseen.
        train_fraction: Part of each class's training samples to use, 0 to 1, nested in larger ones.
        seen_classes: Number of seen classes to train on, nested in larger ones; null for all.
        subset_seed: Seed of train_fraction, seen_classes and generalized; null for that of seed,
            so that repeats of a study differ in the part drawn, too.
        generalized: Part of the photos of each seen class that leaves training and joins the test
            gallery (generalised zero-shot); 0 for the zero-shot gallery.
        generalized_queries: unseen asks for unseen classes alone; both holds sketches of training
            classes out, too, and measures them apart, with the harmonic mean of both.
        gallery: dedup holds each photo once; zse_dup, for Sketchy-Extended, repeats base photos as
            ZSE-SBIR and SAKE do; random_pairs is a random photo of its class for each sketch, as in
            the released code, and comparable with nothing else.
        batch_size: Training samples in a step over all processes together.
        classes_per_batch: Classes in a batch of methods that need several samples a class;
            batch_size must be a multiple.
        shuffle: Train in random order; the released code keeps that of classes and file names.
            Batches of classes are always random.
        eval_batch_size: Images a process embeds at a time.
        num_workers: Loader processes; null for one less than the cores, 1 to 8.
        resize: letterbox pads with white, letterbox_black as the released code does, squash ignores
            the aspect ratio, crop is CLIP's resize and centre crop.
        augment: Images to augment in training: none, sketches, photos or both.
        normalization: model uses the mean and standard deviation of the CLIP model, imagenet those
            of the released code.
        allow_trained_classes: Measure on classes that the model was trained on. Results say so and
            share no table with zero-shot ones.
        on_error: raise stops at an unreadable file; skip trains without it, leaves it out of
            evaluation, and lists all such files at the end.
        prepared: Folder of 'sketchclip data prepare', whose images are read in place of the files.
        seed: Seed of random photos and of the order of triplets; null for seed_everything's.
    """

    protocol: ClassVar[Protocol] = Protocol()

    def __init__(
        self,
        root: str | None = None,
        sketch_files: str | None = None,
        photo_files: str | None = None,
        split: str | None = None,
        validation: Validation = "pseudo_unseen",
        val_fraction: TruePart = 0.1,
        train_fraction: SomePart = 1.0,
        seen_classes: Count | None = None,
        subset_seed: Seed | None = 0,
        generalized: NotAll = 0.0,
        generalized_queries: GeneralizedQueries = "unseen",
        gallery: Gallery = "dedup",
        batch_size: Count = 64,
        classes_per_batch: Count = 16,
        shuffle: bool = True,
        eval_batch_size: Count = 128,
        num_workers: Natural | None = None,
        resize: Resize = "letterbox",
        augment: Augmented = "none",
        normalization: Literal["model", "imagenet"] = "model",
        allow_trained_classes: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        prepared: str | None = None,
        seed: Seed | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        most = min(8, suggested_max_num_workers(1))
        self.num_workers = most if num_workers is None else num_workers
        # Lightning leaves seed_everything's value here, also for the processes that it starts.
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        files = DatasetFiles(self, root, sketch_files, photo_files)
        chosen = {setting.name: self.hparams[setting.name] for setting in fields(SplitSettings)}
        chosen["seed"] = self.seed
        chosen["subset_seed"] = self.seed if subset_seed is None else subset_seed
        self.catalogue = Catalogue(files, SplitSettings(**chosen))
        self.on_error = on_error
        self.unreadable = UnreadableFiles()
        self._training: TrainingDataset | None = None
        self.features: dict[Any, np.ndarray] | None = None
        """Path to features, (D,), fp32; None while training works on images."""

    @property
    def class_names(self) -> list[str]:
        """Training classes in the order of their labels, for methods that ask for them."""
        return self.catalogue.class_names

    @property
    def batch_spec(self) -> BatchSpec:
        """Training batches that the method asks for; the default outside a Trainer."""
        model = self.trainer.lightning_module if self.trainer else None
        found: BatchSpec = getattr(model, "batch_spec", BatchSpec())
        return found

    @property
    def preprocessing(self) -> Preprocessing:
        """Steps from an image to the model's input, of all images of the run."""
        spec, resize = self.batch_spec, self.hparams["resize"]
        own = self.hparams["normalization"] == "model"
        mean, std = (spec.mean, spec.std) if own else (IMAGENET_MEAN, IMAGENET_STD)
        return Preprocessing(spec.image_size, mean, std, resize, spec.interpolation)

    def setup(self, stage: str) -> None:
        """Say before the first epoch what the method asks for and cannot have."""
        self.features = None  # of an earlier run: another method may need the images
        refuse_split_by_model(self.catalogue.settings, stage)
        if stage != "fit":
            return
        overfit: Any = getattr(self.trainer, "overfit_batches", 0)
        if self.batch_spec.layout == "classes" and overfit:
            told = "trainer.overfit_batches would break up the method's batches of classes."
            raise SketchClipError(f"{told} Use --trainer.limit_train_batches.")
        self._training = self._training_set()
        self._sampler(self._training)

    def _world(self) -> tuple[int, int]:
        """Number of processes and the rank of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    @property
    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _source(self, files: Iterable[Listing], augment: bool = False) -> ImageSource:
        """Reader of these files with the settings of this run."""
        spec, changed = self.batch_spec, self.hparams["augment"]
        prepared, root = self.hparams["prepared"], self.catalogue.files.root
        reader = open_reader(self.preprocessing.fit, prepared, root)
        if isinstance(reader, PreparedReader):
            reader.report(path for listing in files for paths in listing.values() for path in paths)
        changes = None
        if augment and changed != "none":
            # A mirrored photo is no longer what its sketch shows, unless both are mirrored.
            flip = spec.pairing != "instance_triplet" or changed == "both"
            changes = Augment(spec.image_size, changed, flip)
        return ImageSource(reader, self.seed, changes, self.on_error == "skip", spec.stroke_points)

    def _training_set(self) -> TrainingDataset:
        files, known = self.catalogue.training, self.features
        source = FeatureSource(known, self.seed) if known else self._source(files, augment=True)
        spec, names = self.batch_spec, self.class_names
        return training_dataset(spec, *files, names, source, self.instance_of)

    def train_dataloader(self) -> DataLoader:
        """Batches of the training classes as the method asks for them, uint8 (see normalize)."""
        dataset = self._training_set() if self.features or not self._training else self._training
        workers = 0 if self.features else self.num_workers  # processes would only copy features
        sampler = self._sampler(dataset)
        size = self.hparams["batch_size"] // self._world()[0]
        return TrainingLoader(
            dataset,
            batch_size=size,
            sampler=sampler,
            drop_last=0 < len(sampler) % size < self.batch_spec.smallest_batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._on_gpu,
            collate_fn=dataset.batch.collate,
        )

    def _sampler(self, dataset: TrainingDataset) -> EpochSampler:
        chosen = {n: self.hparams[n] for n in ("batch_size", "classes_per_batch", "shuffle")}
        return training_sampler(dataset, self.batch_spec, *self._world(), self.seed, **chosen)

    def _evaluation_loaders(self, classes: list[str]) -> list[DataLoader]:
        files = (self.catalogue.queries(classes), self.catalogue.gallery(classes))
        source, size = self._source(files), self.batch_spec.image_size
        return [
            self._image_loader(data, DistributedSampler(data, *self._world(), shuffle=False))
            for data in evaluation_datasets(files, classes, source, size, self.instance_of)
        ]

    def _image_loader(self, dataset: ImageDataset, order: Sampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.hparams["eval_batch_size"],
            sampler=order,
            num_workers=self.num_workers,
            pin_memory=self._on_gpu,
            collate_fn=ImageBatch.collate,
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the validation classes; empty for validation=none."""
        classes = self.catalogue.val_classes
        return self._evaluation_loaders(classes) if classes else []

    def test_dataloader(self) -> list[DataLoader]:
        """Queries and gallery of the test classes: every photo once."""
        model: Any = self.trainer.lightning_module if self.trainer else None
        if self.catalogue.settings.by_model and model is not None:
            # Only now: Lightning loads a checkpoint after setup, and it says the training classes.
            self.catalogue = self.catalogue.tested_by(model.training_classes)
        return self._evaluation_loaders(self.catalogue.test_classes)

    predict_dataloader = test_dataloader

    def training_images(self, images: Listing, side: Side) -> DataLoader:
        """Loader of all training images of one side, each once, in their order."""
        none = np.full(sum(map(len, images.values())), -1)
        size, source = self.batch_spec.image_size, self._source([images])
        dataset = ImageDataset(images, self.class_names, source, side, size, none)
        return self._image_loader(dataset)

    def cache_features(self, embed: Callable[[Tensor, Side], Tensor]) -> None:
        """Give training the features that ``batch_spec.features`` declares in place of images.

        Nothing happens where images are augmented: they are never the same twice.

        Args:
            embed: Features (B, D) of normalised images of a side, on the method's device.
        """
        if self.hparams["augment"] == "none" and self.trainer is not None:
            self.features = training_features(self, self.trainer, embed)

    def normalize(self, batch: B) -> B:
        """Turn the uint8 images of a batch into fp32, normalised as the model expects.

        A Trainer calls this on the device; whoever iterates over a loader without one calls it.
        """
        steps = self.preprocessing
        return batch.map_tensors(  # nothing else in a batch is uint8
            lambda x: normalize(x, steps.mean, steps.std) if x.dtype == torch.uint8 else x
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Note unreadable files; Lightning calls this in the main process of every rank."""
        skipped = getattr(batch, "skipped", None)
        if skipped:
            training = self.trainer is not None and self.trainer.training
            self.unreadable.add("training" if training else SIDES[int(batch.side[0])], skipped)
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Normalise on the device."""
        return self.normalize(batch) if isinstance(batch, TensorBatch) else batch

    def teardown(self, stage: str) -> None:
        """List the files that were passed over."""
        if self.on_error == "skip":
            self.unreadable.report(self.trainer.log_dir if self.trainer else None)
