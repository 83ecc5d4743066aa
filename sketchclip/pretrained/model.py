"""Models for search: a run, an exported folder, a hub repository or frozen CLIP, by one call."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_modules.batch import Preprocessing
from data_modules.datasets.image_source import to_tensor
from data_modules.prepared.reader import FileReader
from data_modules.transforms import normalize
from sketchclip.clip.text import encode_classes
from sketchclip.errors import SketchClipError, first_line
from sketchclip.methods import FrozenCLIP, RetrievalModule
from sketchclip.metrics.vectors import Similarity, as_vectors
from sketchclip.pretrained.find import find_checkpoint, hub_id
from sketchclip.pretrained.model_hash import model_hash
from sketchclip.pretrained.saved import build_module, read_saved
from sketchclip.pretrained.state_score import StateScore

FROZEN = "frozen"
BATCH = 64
_READERS = 4


class SearchModel:
    """Embeds sketches, photos and texts, with the preprocessing of evaluation.

    Embeddings are fp32 vectors whose ``similarity`` evaluation ranks by: unit vectors for cosine,
    plain ones for euclidean, codes of -1 and 1 for hamming.

    Args:
        module: The method, trained or frozen.
        name: For people.
        preprocessing: Steps from an image to the method's input, those of its training.
        device: Where it computes.
        settings: The method's arguments.
        source: Arguments of :func:`load_model` that load it again.
        results: Figures of its tests, with their protocols.

    Raises:
        SketchClipError: If it ranks by a score of its own without vectors, or embeds to NaN.
    """

    def __init__(
        self,
        module: RetrievalModule,
        name: str,
        preprocessing: Preprocessing,
        device: torch.device,
        settings: dict[str, Any],
        source: dict[str, str | None],
        results: Sequence[dict[str, Any]] = (),
    ) -> None:
        if module.scores_pairs and type(module).vector is RetrievalModule.vector:
            raise SketchClipError(
                f"{name}: {type(module).__name__} ranks by a score of its own. Search makes a "
                "shortlist by vectors first: override vector() beside score()."
            )
        self.module = module.to(device).eval().requires_grad_(False)
        self.name = name
        self.preprocessing = preprocessing
        self.device = device
        self.settings = settings
        self.source = source
        self.results = list(results)
        self._fit = preprocessing.fit
        self._reader = FileReader(self._fit)
        blank = np.zeros((1, preprocessing.size, preprocessing.size, 3), np.uint8)
        sketch, state = (self._states(blank, side) for side in ("query", "gallery"))
        self._state_shape = state.shape[1:]
        vectors = self._vectors(state)
        if not (np.isfinite(vectors).all() and np.isfinite(self._vectors(sketch)).all()):
            raise SketchClipError(
                f"{name}: its embeddings are NaN or infinite, as after a training that diverged. "
                "Use another checkpoint, such as best.ckpt, or train again with lower rates."
            )
        self.dim = int(vectors.shape[1])

    @property
    def state_width(self) -> int:
        """Numbers of a photo that an index keeps for a score of the method's own; 0 for none."""
        return self._state_shape.numel() if self.module.scores_pairs else 0

    @property
    def similarity(self) -> Similarity:
        """Similarity that embeddings are compared by."""
        return self.module.similarity

    @property
    def fine_grained(self) -> bool:
        """Whether it was trained to find the one photo that a sketch was drawn from."""
        return self.module.instance_level

    @cached_property
    def about(self) -> dict[str, Any]:
        """What made the embeddings, as JSON holds it."""
        return {
            "name": self.name,
            "method": type(self.module).__name__,
            "backbone": getattr(self.module, "identity", None),
            "preprocessing": asdict(self.preprocessing),
            "dim": self.dim,
            "similarity": self.similarity,
            "fine_grained": self.fine_grained,
            "results": self.results,
        }

    @cached_property
    def model_hash(self) -> str:
        """16 hexadecimal digits over all weights and all settings that change embeddings.

        A run and its export have the same one.
        """
        return model_hash(self.module, {**self.settings, "preprocessing": self.preprocessing})

    def read(self, image: Path | np.ndarray) -> np.ndarray:
        """Fit one image as evaluation does; embedding it again changes nothing.

        Args:
            image: File of any kind that data modules read, or uint8 RGB, shape (H, W, 3).

        Returns:
            uint8 RGB, shape (size, size, 3).

        Raises:
            SketchClipError: If it cannot be read.
        """
        if not isinstance(image, np.ndarray):
            return self._reader(Path(image))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise SketchClipError(
                f"Expected an image as uint8 RGB of shape (H, W, 3), found {image.dtype} "
                f"{image.shape}."
            )
        return self._fit(image)

    def sketches(self, images: Sequence[Path | np.ndarray]) -> np.ndarray:
        """Embed sketches.

        Args:
            images: Files, or uint8 RGB arrays (H, W, 3) with dark ink on white.

        Returns:
            fp32, shape (N, dim).

        Raises:
            SketchClipError: If one cannot be read; the message names the file.
        """
        return self._all(images, "query")

    def photos(self, images: Sequence[Path | np.ndarray]) -> np.ndarray:
        """Embed photos; see :meth:`sketches`."""
        return self._all(images, "gallery")

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed sentences with CLIP's frozen text encoder.

        Args:
            texts: Such as "a photo of a red car".

        Returns:
            fp32, shape (N, dim), unit length.

        Raises:
            SketchClipError: If the method has no text encoder.
        """
        clip = getattr(self.module, "clip", None)
        if clip is None or self.similarity != "cosine":
            raise SketchClipError(f"{self.name} has no text encoder. Search by sketch or photo.")
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        bank = encode_classes(clip, str(self.module.backbone), texts, template="{}")
        return bank.cpu().numpy()

    def _all(self, images: Sequence[Path | np.ndarray], side: str) -> np.ndarray:
        parts = [np.zeros((0, self.dim), np.float32)]
        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(images), BATCH):
                fitted = readers.map(self.read, images[start : start + BATCH])
                parts.append(self.embed_fitted(np.stack([*fitted]), side))
        return np.concatenate(parts)

    @torch.inference_mode()
    def embed_fitted(self, images: np.ndarray, side: str) -> np.ndarray:
        """Embed uint8 RGB images (N, size, size, 3), fitted by :meth:`read`, as fp32 (N, dim).

        ``side`` is query for sketches and gallery for photos.
        """
        return self._vectors(self._states(images, side))

    def _vectors(self, states: Tensor) -> np.ndarray:
        vectors = as_vectors(self.module.vector(states), self.similarity)
        return vectors.cpu().numpy()

    @torch.inference_mode()
    def indexed(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute what an index keeps of photos (size, size, 3), fitted by :meth:`read`.

        Returns:
            Vectors, (N, dim), and states, (N, state_width), fp32; None in place of states where
            vectors alone are compared.
        """
        states = self._states(images, "gallery")
        kept = states.float().flatten(1).cpu().numpy() if self.module.scores_pairs else None
        return self._vectors(states), kept

    @torch.inference_mode()
    def query(self, sketch: Path | np.ndarray) -> tuple[np.ndarray, StateScore | None]:
        """Embed a sketch once, for the search by its vector and for a score of the method's own.

        Args:
            sketch: File, or uint8 RGB (H, W, 3).

        Returns:
            Vector, (dim,), and the score that the method gives photos by their states; None in
            place of it where vectors decide.
        """
        state = self._states([self.read(sketch)], "query")
        score = StateScore(self.module, state.float(), self._state_shape)
        return self._vectors(state)[0], score if self.module.scores_pairs else None

    def _states(self, images: Iterable[np.ndarray], side: str) -> Tensor:
        batch = torch.stack([to_tensor(image) for image in images]).to(self.device)
        pixels = normalize(batch, self.preprocessing.mean, self.preprocessing.std)
        state: Tensor = getattr(self.module, f"{side}_state")(pixels)
        return state


def load_model(
    model: str | Path = FROZEN,
    backbone: str | None = None,
    pretrained: str | Path | None = None,
    device: str = "auto",
) -> SearchModel:
    """Load a model that embeds sketches and photos.

    Args:
        model: Run folder, ``.ckpt`` or ``.safetensors`` file, ``last`` or ``best`` of the last run,
            folder of 'sketchclip export', repository of the Hugging Face hub (``owner/name``), or
            ``frozen`` for a CLIP that was not adapted.
        backbone: Of the frozen CLIP: open_clip model name, or ``sketchclip-mini``; by default
            ViT-B-32-quickgelu. A trained model knows its own.
        pretrained: open_clip tag or file of the backbone's weights; for a trained model where they
            are not found as they were in training.
        device: ``auto`` for a GPU if there is one, or a name of PyTorch such as ``cpu``.

    Returns:
        The model, ready to embed.

    Raises:
        SketchClipError: If there is no such model, or its backbone is not the one of training.
    """
    where, model = _device(device), str(model)
    pretrained = None if pretrained is None else str(pretrained)
    if model == FROZEN:
        named = {} if backbone is None else {"backbone": backbone}
        module: RetrievalModule = FrozenCLIP(**named, pretrained=pretrained)
        settings = {"backbone": str(module.backbone), "pretrained": pretrained}
        name = f"{FROZEN} {module.backbone}"
        source = {"model": model, **settings}
        return SearchModel(module, name, module.preprocessing, where, settings, source)
    saved = read_saved(Path(find_checkpoint(model, option="model")))
    trained_on = (saved.content.get("backbone") or {}).get("name")
    if backbone not in (None, trained_on):
        raise SketchClipError(
            f"backbone={backbone}: {model} was trained on {trained_on}. Leave it out, or use "
            f"model={FROZEN}."
        )
    module = build_module(saved, pretrained)
    on_hub = hub_id(model)
    shown = on_hub or str(saved.place)
    again = f"hf://{on_hub}" if on_hub else str(saved.checkpoint.resolve())
    return SearchModel(
        module,
        f"{type(module).__name__}, {shown}",
        saved.preprocessing,
        where,
        saved.settings,
        {"model": again, "backbone": None, "pretrained": pretrained},
        saved.results,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        gpus = {"cuda": torch.cuda, "mps": torch.backends.mps}
        name = next((kind for kind, gpu in gpus.items() if gpu.is_available()), "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = first_line(error)
        raise SketchClipError(f"device={name}: {reason}. Use auto, cpu, cuda or mps.") from error
