"""Prompts that the text tower makes for every layer of the visual one (SpLIP, ECCV 2024)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from data_modules.batch import SIDES
from data_modules.ranges import Natural, Part
from data_modules.transforms import Side
from sketchclip.adaptations import Adaptation
from sketchclip.clip.backbone import CLIPModel
from sketchclip.clip.text_guide import MapForm, TextGuide
from sketchclip.clip.text_tower import ends, sentences
from sketchclip.errors import SketchClipError


class TextGuidedPrompts(Adaptation):
    """Prompts from the words of a side's template and from the layers of the text tower.

    Text and images see each other: mean patches of images become tokens of the text tower, whose
    layers become prompts of the visual one, see :class:`~sketchclip.clip.text_guide.TextGuide`.
    Prompts have no position, are put in anew at every layer and pass ``ln_pre`` in the first.

    With ``text_context: seen_classes`` the tower reads the names of all seen classes, and prompts
    are averaged over them. The side's patches are those of a batch in training, later a moving mean
    over batches: then prompts do not depend on the image. They are computed once, as buffers, and
    are all that embeds images: no text tower, class name or map is part of an exported model.

    Trainable on ViT-B/32: 9,314,048 in three maps (mean) or 58,072,832 (flattened), and 25,600 in
    the text tower's LayerNorms.

    Args:
        text_context: Sentences that prompts come from: those of all seen classes, or the template
            without any name, read once for each image with tokens of its own patches, also in a
            test. Class embeddings have tokens of the batch's mean patches either way.
        maps: mean: patches and sentences are averaged before the maps. flattened: they are their
            input as a whole.
        text_tokens: Tokens of the text tower that come from patches; 0 for none.
        word_prompts: Whether the words of the template become visual prompts, one each.
        layer_prompts: Visual prompts of a layer that come from the text tower; 0 for none.
        sketch_words: Template of sketches, before a class name.
        photo_words: Template of photos, of as many tokens.
        momentum: Part of the moving mean of patches that a batch keeps.
    """

    words: Tensor
    sentences: Tensor

    def __init__(
        self,
        text_context: Literal["seen_classes", "image"] = "seen_classes",
        maps: MapForm = "mean",
        text_tokens: Natural = 4,
        word_prompts: bool = True,
        layer_prompts: Natural = 2,
        sketch_words: str = "a sketch of a",
        photo_words: str = "a photo of a",
        momentum: Part = 0.99,
    ) -> None:
        super().__init__()
        self.text_context = text_context
        self.maps = maps
        self.text_tokens = text_tokens
        self.word_prompts = word_prompts
        self.layer_prompts = layer_prompts
        self.sketch_words = sketch_words
        self.photo_words = photo_words
        self.momentum = momentum
        self.guide: TextGuide | None = None
        self.prompt_count: int | None = None  # known with the templates' tokens
        self._stale = False  # whether the guide has trained since prompts were computed
        for name, count in (("text_tokens", text_tokens), ("layer_prompts", layer_prompts)):
            if count < 0:
                raise SketchClipError(
                    f"--model.adaptation.{name}={count}: expected a number of tokens, 0 for none."
                )

    @property
    def templates(self) -> tuple[str, str]:
        """Words before a class name, of sketches and of photos."""
        return self.sketch_words, self.photo_words

    @property
    def from_image(self) -> bool:
        """Whether the prompts of an image depend on it, so that a test needs the text tower."""
        return self.text_context == "image" and self.layer_prompts > 0

    def connect(self, clip: CLIPModel, backbone: str, layer_norm: bool, read_out: bool) -> None:
        """Read the templates and create what images are embedded with.

        Args:
            clip: The frozen model; it must not become a submodule.
            backbone: Its name, which decides the tokenizer.
            layer_norm: Whether the text tower's LayerNorms train.
            read_out: Whether embeddings of classes are asked for.

        Raises:
            SketchClipError: If the templates differ in length.
        """
        self._trains, self._read_out = layer_norm, read_out
        ids = sentences(backbone, self.templates, 0)
        counts = (ends(ids) - 1).tolist()
        if counts[0] != counts[1] or counts[0] < 1:
            raise SketchClipError(
                "--model.adaptation.sketch_words and photo_words: expected templates of as many "
                f"tokens each, one map reads both; found {counts[0]} in '{self.sketch_words}' and "
                f"{counts[1]} in '{self.photo_words}'."
            )
        self.register_buffer("words", ids[:, 1 : 1 + counts[0]], persistent=False)
        width, depth = clip.visual.class_embedding.shape[0], len(clip.visual.transformer.resblocks)
        prompts = self.word_prompts * counts[0] + self.layer_prompts
        for side in SIDES:
            place = torch.zeros(depth, prompts, width) if prompts and not self.from_image else None
            self.register_buffer(side, place)
        self.prompt_count = prompts
        if self.from_image:
            self.build_guide(clip, backbone)

    def build_guide(self, clip: CLIPModel, backbone: str) -> None:
        """Create text tower and maps, for training, unless images are embedded with them."""
        if self.guide is not None:
            return
        settings = (self.maps, self.text_tokens, self.word_prompts, self.layer_prompts)
        more = (self._trains, self._read_out, self.momentum)
        self.guide = TextGuide(clip, self.words, *settings, *more)
        if self.from_image:
            tokens = self.guide.ids(backbone, self.templates)
            self.register_buffer("sentences", tokens, persistent=False)
        self._stale = True

    def read_names(self, backbone: str, class_names: Sequence[str]) -> None:
        """Take the seen classes, in the order of their labels, for training."""
        assert self.guide is not None  # in training
        self.guide.tokenize(backbone, class_names, self.templates)

    def guided(self, images: Tensor, side: Side) -> tuple[Tensor | None, Tensor | None]:
        """Prompts and class embeddings of a training batch, and its part in the moving mean.

        Args:
            images: Normalised RGB of one side, (B, 3, H, W).
            side: Side of the images.

        Returns:
            Prompts of the layers, (L, K, W), None if each image has its own or there are none; and
            the embeddings of the seen classes, (C, D), None without a text tower.
        """
        assert self.guide is not None  # in training
        self._stale = True
        if self.from_image and not self.guide.read_out:
            return None, None
        layers, classes = self.guide(self.guide.observe(images, side), side)
        return None if self.from_image else layers, classes

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the prompts of both sides anew if the guide has trained since the last time."""
        if not self._stale or self.from_image or not self.prompt_count:
            return
        assert self.guide is not None  # it has trained
        with torch.autocast(self.guide.means.device.type, enabled=False):
            for mean, side in zip(self.guide.means, SIDES, strict=True):
                getattr(self, side).copy_(self.guide(mean, side)[0])
        self._stale = False

    def each_layer(self, images: Tensor, side: Side) -> tuple[Tensor | None, Tensor | None]:
        """The side's prompts, as last computed, or those of each image.

        Raises:
            SketchClipError: In a method that gives it no text tower.
        """
        if self.prompt_count is None:
            raise SketchClipError(
                "--model.adaptation TextGuidedPrompts needs the text tower: expected --model SpLIP "
                "or SpLIPFineGrained, found a method without it. Use DeepPrompts there."
            )
        if not self.prompt_count:
            return None, None
        layers: Any
        if self.from_image:
            assert self.guide is not None  # made by the method's constructor
            at = SIDES.index(side)
            sentence = self.sentences[at : at + 1]
            layers, _ = self.guide(self.guide.patches(images), side, sentence)
        else:
            self.refresh()
            layers = getattr(self, side)
        return layers[0], layers[1:]
