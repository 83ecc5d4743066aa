"""Order of training samples: over processes, over epochs, and from where a run was stopped."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from data_modules.batch import BatchSpec
from data_modules.datasets.training import TrainingDataset
from data_modules.processes import work_on
from sketchclip.errors import SketchClipError

Key = tuple[int, int]


class EpochSampler(DistributedSampler):
    """Shuffles like ``DistributedSampler`` and yields (epoch, index) pairs.

    The epoch travels with the index because a dataset inside a persistent worker never learns of
    ``set_epoch``.

    Attributes:
        start: Samples to leave out at the beginning of the next epoch.
    """

    start = 0

    def __iter__(self) -> Iterator[Key]:
        """Pairs of this process."""
        keys = [(self.epoch, index) for index in self.order()]
        return iter(keys[self.start :])

    def order(self) -> list[int]:
        """Indices of this process in this epoch."""
        return list(super().__iter__())


class ClassBatchSampler(EpochSampler):
    """P classes x K samples in each step over all processes together.

    Each process gets P / processes classes of a step, other ones than the other processes, one
    class after the other: its part reshapes to (classes, K). The order depends on seed and epoch
    alone. Every sketch comes about once an epoch: a class is cut into groups of K, drawn anew each
    epoch, and what remains (fewer than K) waits for another epoch, as do some groups of a class
    with more groups than steps. A class with fewer than K sketches repeats them in one group, with
    other photos.

    It is a sampler of samples, not of batches, so that Lightning sees a DistributedSampler: it then
    calls ``set_epoch`` and puts no sampler of its own in its place. The loader cuts the batches.

    Args:
        dataset: Its indices are those of the sketches, class by class.
        counts: Sketches of each class, (C,).
        classes_per_batch: P.
        batch_size: P x K.
        num_replicas: Number of processes.
        rank: Rank of this process.
        seed: Seed of the order.

    Raises:
        SketchClipError: If the sizes do not divide, or fewer than P classes have sketches.
    """

    def __init__(
        self,
        dataset: Dataset,
        counts: np.ndarray,
        classes_per_batch: int,
        batch_size: int,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, num_replicas, rank, seed=seed)
        _check_sizes(counts, classes_per_batch, batch_size, num_replicas)
        self.counts = counts
        self.classes = classes_per_batch
        self.samples = batch_size // classes_per_batch
        groups = np.maximum(counts // self.samples, counts > 0)
        # As many steps as the groups fill when no class comes twice in a step.
        self.steps = int(groups.sum()) // self.classes
        while np.minimum(groups, self.steps).sum() < self.classes * self.steps:
            self.steps -= 1
        self.groups = np.minimum(groups, self.steps)
        self.num_samples = self.steps * batch_size // num_replicas
        self.total_size = self.num_samples * num_replicas

    def order(self) -> list[int]:
        """Indices of this process in this epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        first = np.cumsum([0, *self.counts])
        left = self.groups.copy()
        surplus = int(left.sum()) - self.classes * self.steps  # smaller than the number of classes
        left[rng.permutation(np.flatnonzero(left))[:surplus]] -= 1
        shuffled = [rng.permutation(count) for count in self.counts]
        mine = slice(*(np.array([0, 1]) + self.rank) * (self.classes // self.num_replicas))
        order: list[int] = []
        for step in range(self.steps):
            chosen = self._choose(rng, left, self.steps - step)
            left[chosen] -= 1
            for label in chosen[mine]:
                # left counts down, so that each group of a class is used once.
                at = left[label] * self.samples + np.arange(self.samples)
                repeats, at = np.divmod(at, self.counts[label])
                order += (
                    first[label] + shuffled[label][at] + repeats * len(self.dataset)  # type: ignore[arg-type]
                ).tolist()
        return order

    def _choose(self, rng: np.random.Generator, left: np.ndarray, steps: int) -> np.ndarray:
        """Classes of a step: more likely where more is left, certain where nothing may be lost."""
        keys = np.full(len(left), np.inf)
        some = left > 0
        keys[some] = rng.exponential(size=int(some.sum())) / left[some]
        keys[left >= steps] = -1.0
        return rng.permutation(np.argsort(keys, kind="stable")[: self.classes])


def training_sampler(
    dataset: TrainingDataset,
    spec: BatchSpec,
    processes: int,
    rank: int,
    seed: int,
    batch_size: int,
    classes_per_batch: int,
    shuffle: bool,
) -> EpochSampler:
    """Order of the training samples that a method asks for.

    Args:
        dataset: Training samples.
        spec: Request of the method.
        processes: Number of processes.
        rank: This one.
        seed: Seed of the order.
        batch_size: Samples of a batch of all processes together.
        classes_per_batch: Classes of a batch that is made of classes.
        shuffle: Whether samples that are not come in random order.

    Raises:
        SketchClipError: If processes or classes cannot share a batch.
    """
    if batch_size % processes or not batch_size // processes:
        raise SketchClipError(
            f"data.batch_size={batch_size} is the batch of all processes together and "
            f"must be a multiple of their number, {processes}."
        )
    if spec.layout == "shuffled":
        return EpochSampler(dataset, processes, rank, shuffle=shuffle, seed=seed)
    shape = (classes_per_batch, batch_size)
    return ClassBatchSampler(dataset, dataset.sketches.counts, *shape, processes, rank, seed)


def _check_sizes(counts: np.ndarray, classes: int, batch_size: int, processes: int) -> None:
    have = int((counts > 0).sum())
    if classes < 1 or batch_size % classes:
        raise SketchClipError(
            f"data.batch_size={batch_size} must be a multiple of data.classes_per_batch={classes}: "
            "each of these classes gives as many samples to a batch."
        )
    if classes % processes:
        raise SketchClipError(
            f"data.classes_per_batch={classes} must be a multiple of the number of processes, "
            f"{processes}: each takes whole classes."
        )
    if have < classes:
        raise SketchClipError(
            f"data.classes_per_batch={classes}, but only {have} training classes have sketches "
            f"that the method can use. Set --data.classes_per_batch to at most {have}, with a "
            "--data.batch_size that is a multiple of it."
        )


class TrainingLoader(DataLoader):
    """Loader of training batches that a resumed run continues where the other was stopped.

    Nothing happens before the first batch is asked for. Lightning calls ``iter`` ahead of
    ``set_epoch`` when it resumes, and workers that started then would bring samples of epoch 0.
    """

    _position: Key = (0, 0)
    _resume: Key = (-1, 0)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Batches of the sampler's epoch."""
        if not isinstance(self.worker_init_fn, partial) or self.worker_init_fn.func is not work_on:
            self.worker_init_fn = partial(work_on, self.worker_init_fn)
        sampler = self.sampler
        if not isinstance(sampler, EpochSampler):  # trainer.overfit_batches puts its own here
            yield from super().__iter__()
            return
        epoch, (at, done) = sampler.epoch, self._resume
        done = done if at == epoch else 0
        self._resume = (-1, 0)
        sampler.start = done * (self.batch_size or 1)
        for number, batch in enumerate(super().__iter__(), start=done + 1):
            self._position = (epoch, number)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Epoch, and batches of it that were handed out; Lightning keeps it in checkpoints."""
        return {"epoch": self._position[0], "batches": self._position[1]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out the batches of that epoch that the checkpoint has seen.

        Args:
            state: State of the loader whose run is resumed.
        """
        self._resume = (state["epoch"], state["batches"])
