"""The base class of every method: full-gallery evaluation, optimiser and checkpoints."""

import inspect
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from typing_extensions import Self

from data_modules.batch import (
    BatchSpec,
    Channels,
    ImageBatch,
    Preprocessing,
    Protocol,
    TrainingBatch,
)
from data_modules.splits.catalogue import Catalogue
from data_modules.transforms import Interpolation
from sketchclip.checkpoint import check_state, own_names, pretrained_networks
from sketchclip.errors import SketchClipError
from sketchclip.methods.ranked import RankedModule
from sketchclip.methods.trained_on import check_tested, note_training, read_record
from sketchclip.metrics import GeneralizedRetrieval, RetrievalResults


class RetrievalModule(RankedModule):
    """Embeds sketches and photos and retrieves photos by sketch.

    A method implements :meth:`embed` and :meth:`training_step`. Evaluation is the same for all:
    each sketch of the unseen classes queries all their photos, every image embedded once.
    """

    training_batch: BatchSpec = BatchSpec()
    """Training batches that the method asks for."""
    instance_level: ClassVar[bool] = False
    """Whether the method looks for the one photo of a sketch, so that Acc@q is measured."""
    sets_rates: ClassVar[bool] = False
    """Whether its steps set the rates of its optimizer, which then has no other schedule."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Prefixes of tensors that retrieval does not need: teachers, discriminators, text heads.

    They are made in :meth:`build_training_parts`, resumed with a run, and neither exported nor
    loaded for search.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strict_loading = False  # on_load_checkpoint compares the tensors
        self._training_parts_built = False
        self.training_classes: list[str] = []
        """Names of all classes that the weights were trained on."""
        self.training_data: list[dict[str, Any]] = []  # written by note_training
        self.retrieval = self._new_metric("")
        self.results: RetrievalResults | None = None
        """Results of the last validation or test."""
        self.shown_photos = 0
        """Number of first photos of each query that results name; callbacks raise it."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Side of the square input in pixels."""

    @property
    @abstractmethod
    def mean(self) -> Channels:
        """Mean of each channel, in [0, 1]."""

    @property
    @abstractmethod
    def std(self) -> Channels:
        """Standard deviation of each channel, in [0, 1]."""

    @property
    def interpolation(self) -> Interpolation:
        """Interpolation of resizing to image_size."""
        return "bicubic"

    @property
    def identity(self) -> dict[str, str] | None:
        """Name, weights and hash of the pretrained encoder; None without one."""
        return None

    @abstractmethod
    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""

    def build_training_parts(self) -> None:
        """Create what only training needs; override beside ``training_only``.

        Called once before the first fit. A constructor makes only what embeds images.
        """

    @property
    def batch_spec(self) -> BatchSpec:
        """Batches that the data module gives: ``training_batch``, prepared as the encoder needs."""
        own = {name: getattr(self, name) for name in ("image_size", "mean", "std", "interpolation")}
        return replace(self.training_batch, **own)

    @property
    def preprocessing(self) -> Preprocessing:
        """Steps from an image to the input: those of the data, else the encoder's own."""
        data = getattr(self._trainer, "datamodule", None)
        found: Preprocessing | None = getattr(data, "preprocessing", None)
        if found is None:
            channels = (self.mean, self.std)
            found = Preprocessing(self.image_size, *channels, interpolation=self.interpolation)
        return found

    def draws(self, batch_idx: int) -> torch.Generator:
        """Randomness of a step of the epoch that a resumed run repeats, on the CPU."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        key = seed, self.current_epoch, batch_idx, self.global_rank
        state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
        return torch.Generator().manual_seed(state >> 1)

    def log_losses(self, losses: dict[str, Tensor], batch_size: int) -> None:
        """Log the parts of a loss, and train/loss beside the progress bar."""
        self.log_dict(losses, batch_size=batch_size)
        self.log("loss", losses["train/loss"], prog_bar=True, logger=False, batch_size=batch_size)

    @property
    def headline(self) -> str:
        """Metric that epochs and runs are compared by: Acc@1 if instances count, else mAP@all."""
        return "Acc@1" if self.instance_level or self.protocol.instances else "mAP@all"

    @property
    def protocol(self) -> Protocol:
        """Protocol of the data at hand."""
        return getattr(getattr(self._trainer, "datamodule", None), "protocol", Protocol())

    def setup(self, stage: str) -> None:
        """Build what training needs, take the protocol from the data, and check the precision."""
        if self.trainer.precision in ("bf16-true", "16-true", "transformer-engine-float16"):
            raise SketchClipError(
                f"trainer.precision={self.trainer.precision} keeps weights in half precision, "
                "where LayerNorm steps of 1e-5 round to nothing. Use bf16-mixed, 16-mixed or "
                "32-true."
            )
        if stage == "fit" and not self._training_parts_built:
            self.build_training_parts()
            self._training_parts_built = True
        self.retrieval = self._new_metric({"fit": "val/", "validate": "val/"}.get(stage, "test/"))

    def _new_metric(self, prefix: str) -> GeneralizedRetrieval:
        data = getattr(self._trainer, "datamodule", None)
        seen = data.catalogue.seen_labels if data is not None and prefix == "test/" else []
        ranked: Any = {"similarity": self.similarity, "score": self.ranking}
        ranked |= {"dtype": self.state_dtype, "prefix": prefix, "seen": seen}
        return GeneralizedRetrieval(self.protocol.precision_k, self.protocol.map_k, **ranked)

    def validation_step(self, batch: ImageBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Embed a batch of queries (loader 0) or of the gallery (loader 1)."""
        states = self._states(batch, dataloader_idx)
        label, index = batch.label, batch.index
        ids = batch.instance if self.headline == "Acc@1" else None
        if self._skips:  # a file that was passed over is no result; a GPU waits for the choice
            read = index >= 0
            states, label, index = states[read], label[read], index[read]
            ids = ids if ids is None else ids[read]
        side = ("query", "gallery")[dataloader_idx]
        self.retrieval.update(states, label, index, side, ids)

    @property
    def _skips(self) -> bool:
        data = getattr(self._trainer, "datamodule", None)
        return getattr(data, "on_error", None) == "skip"

    def _states(self, batch: ImageBatch, at: int) -> Tensor:
        if at:
            return self.gallery_state(batch.image)
        return self.query_state(batch.image, batch.strokes)

    def test_step(self, batch: ImageBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Same as validation, on the unseen classes."""
        self.validation_step(batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Rank once, log, and forget: a sanity check leaves nothing behind."""
        trainer = self.trainer
        loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        taken = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        if loaders:  # the classes of a test may be known no sooner
            fitting = self.protocol.within(len(loaders[1].dataset))
            self.retrieval.precision_k = fitting.precision_k
            self.retrieval.map_k = fitting.map_k
        cut = any(n < len(loader) for n, loader in zip(taken, loaders or (), strict=True))
        self.partial = trainer.sanity_checking or cut  # a limit above the number cuts nothing
        # A part of the gallery is no gallery: queries without any photo in it are left out.
        partial = self.partial or self._skips
        self.results = self.retrieval.results(self.shown_photos, partial)
        metrics = {self.retrieval.prefix + n: v for n, v in self.results.metrics.items()}
        self.log_dict(metrics, rank_zero_only=False)
        self.retrieval.reset()

    on_test_epoch_end = on_validation_epoch_end

    def predict_step(
        self, batch: ImageBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """States of a batch with labels and dataset indices; loader 0 sketches, 1 photos."""
        state = self._states(batch, dataloader_idx)
        return {"state": state, "label": batch.label, "index": batch.index}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimiser groups over all trainable parameters; override to set rates."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": 1e-5}]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam over exactly the trainable parameters (the paper's optimiser, no schedule)."""
        groups = [group for group in self.parameter_groups() if group["params"]]
        grouped = {id(p) for group in groups for p in group["params"]}
        if not grouped:
            raise SketchClipError(
                f"{type(self).__name__} has nothing to train as configured. Use "
                "'sketchclip test' for a frozen model, or turn on prompts or LayerNorm tuning."
            )
        if grouped != {id(p) for p in self.parameters() if p.requires_grad}:
            raise RuntimeError("parameter_groups() and requires_grad disagree.")
        return torch.optim.Adam(groups)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep all that is not frozen and pretrained, and say of which class it is."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in own_names(self)}
        checkpoint["preprocessing"] = asdict(self.preprocessing)
        checkpoint["training_classes"] = self.training_classes
        checkpoint["training_data"] = self.training_data
        settings = checkpoint.setdefault("hyper_parameters", {})
        # The command line offers the class names to every method, and a subclass fixes settings.
        known = inspect.signature(type(self)).parameters
        for name in [n for n in settings if n not in known and not n.startswith("_")]:
            del settings[name]
        # The command line has written the name as the config has it; a program's Trainer has not.
        settings.setdefault("_class_path", f"{type(self).__module__}.{type(self).__qualname__}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse tensors that do not fit; Lightning then loads without strictness."""
        absent = () if self._training_parts_built else self.training_only
        check_state(self, checkpoint["state_dict"], absent)
        self.training_classes, self.training_data = read_record(checkpoint)

    def on_fit_start(self) -> None:
        """Note what training uses, and refuse to measure on its classes."""
        note_training(self, self.trainer.datamodule)  # type: ignore[attr-defined]
        self._check_classes(lambda files: [*files.split.unseen, *files.val_classes])

    def on_validation_start(self) -> None:
        """Refuse to validate on classes that were trained on."""
        if self.trainer.state.fn == TrainerFn.VALIDATING:
            self._check_classes(lambda files: files.val_classes)

    def on_test_start(self) -> None:
        """Refuse to test on classes that were trained on."""
        self._check_classes(lambda files: files.split.unseen)

    on_predict_start = on_test_start

    def _check_classes(self, chosen: Callable[[Catalogue], Sequence[str]]) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None:  # loaders without a data module do not tell their classes
            check_tested(self, data, chosen(data.catalogue))

    def train(self, mode: bool = True) -> Self:
        """Set training mode for all but pretrained networks, which stay as they were trained."""
        super().train(mode)
        for _, network in pretrained_networks(self):
            if network is not self:  # which it is as the encoder of another method
                network.eval()
        return self
