"""Encoder that CLIP-based methods share: towers, text bank, preprocessing, checkpoint identity."""

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from data_modules.batch import BatchSpec, Channels
from data_modules.transforms import Interpolation, Side
from sketchclip.adaptations import Adaptation
from sketchclip.clip.backbone import CLIPModel, backbone_hash, load_backbone
from sketchclip.clip.text_heads import TextHead
from sketchclip.clip.towers import AlsoTrain, LayerNormMode, PromptedTower, fork_visual
from sketchclip.errors import SketchClipError
from sketchclip.losses import text_classification_loss
from sketchclip.nn import compose


class CLIPEncoderMixin(nn.Module):
    """Sketch and photo towers over one frozen CLIP; mix in before ``RetrievalModule``.

    A method calls :meth:`build_towers` in its constructor and :meth:`embed` in its steps.
    """

    clip: CLIPModel
    training_only: ClassVar[tuple[str, ...]] = ("text_head.",)
    adaptation: Adaptation
    text_head: TextHead | None
    needs_images: bool = True
    """Whether training works on the images themselves, not on their embeddings alone."""
    hparams: Any  # of the LightningModule that it is mixed into

    def build_towers(
        self,
        backbone: str,
        pretrained: str | None,
        adaptation: Adaptation | None = None,
        layer_norm: LayerNormMode = "none",
        also_train: AlsoTrain = "nothing",
        grad_checkpointing: bool = False,
    ) -> None:
        """Load the backbone and fork one tower a branch.

        Args:
            backbone: See :func:`sketchclip.clip.backbone.load_backbone`.
            pretrained: See there.
            adaptation: What the branches learn; None for nothing.
            layer_norm: ``per_branch`` gives each branch its own LayerNorms, ``shared`` one set for
                both, ``none`` freezes them.
            also_train: See :func:`sketchclip.clip.towers.trains`.
            grad_checkpointing: Trade a second forward for the activations' memory.
        """
        self.clip = load_backbone(backbone, pretrained)
        self.backbone = backbone
        self._identity = {
            "name": backbone,
            "pretrained": pretrained or "default",
            "hash": backbone_hash(self.clip.visual),
        }
        if grad_checkpointing:
            self.clip.visual.set_grad_checkpointing(True)
        self.text_head = None
        self.adaptation = Adaptation()
        if adaptation is not None:
            self.adaptation = compose(self, "adaptation", adaptation)
        self.adaptation.build(self.clip.visual)
        also = "everything" if self.adaptation.everything else also_train
        shared = self.adaptation.one_encoder
        shared = layer_norm == "shared" if shared is None else shared
        visual = fork_visual(self.clip.visual, layer_norm, also)
        self.sketch_tower = PromptedTower(visual, self.adaptation, "sketch")
        if not shared:
            visual = fork_visual(self.clip.visual, layer_norm, also)
        self.photo_tower = PromptedTower(visual, self.adaptation, "photo")

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels, read from the tower."""
        return int(self.clip.visual.image_size[0])

    @property
    def dim(self) -> int:
        """Numbers of an embedding."""
        return int(self.clip.visual.output_dim)

    @property
    def mean(self) -> Channels:
        """Mean of each channel in the CLIP model's own preprocessing."""
        return tuple(self._own_steps["mean"])

    @property
    def std(self) -> Channels:
        """Standard deviation of each channel in the CLIP model's own preprocessing."""
        return tuple(self._own_steps["std"])

    @property
    def interpolation(self) -> Interpolation:
        """Interpolation of the CLIP model's own preprocessing."""
        own: Interpolation = self._own_steps["interpolation"]
        return own

    @property
    def _own_steps(self) -> dict[str, Any]:
        import open_clip

        return dict(open_clip.get_model_preprocess_cfg(self.clip))

    @property
    def identity(self) -> dict[str, str]:
        """Name, weights and hash of the frozen CLIP."""
        return self._identity

    @property
    def batch_spec(self) -> BatchSpec:
        """Request to the data module: features if only a head behind frozen towers trains."""
        spec: BatchSpec = super().batch_spec  # type: ignore[misc]
        cached = self.output_fixed and not self.needs_images
        return replace(spec, features=self.identity["hash"] if cached else None)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed one side's images.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            side: Side whose tower reads them.

        Returns:
            Embeddings, not normalised, shape (B, D).
        """
        return self.sketch_tower(images) if side == "sketch" else self.photo_tower(images)

    def embed_training(self, values: Tensor, side: Side, features: bool) -> Tensor:
        """Embed what a training batch holds: images, or features of the frozen tower, (B, D)."""
        return self.adaptation.head(values, side) if features else self.embed(values, side)

    def build_text_head(self, text_head: TextHead, used: bool) -> None:
        """Take the head that the classification losses compare with.

        Args:
            text_head: Of the constructor.
            used: Whether there is a classification loss; without one there is no head.
        """
        head = compose(self, "text_head", text_head)
        self.text_head = head if used else None

    def build_training_parts(self) -> None:
        """Create the parameters of the text head, which retrieval does without."""
        super().build_training_parts()  # type: ignore[misc]
        if self.text_head is not None:
            self.text_head.build(self.clip)

    def text_bank(self) -> Tensor:
        """Embeddings of the seen classes, (C, D); row = label."""
        assert self.text_head is not None  # called with a classification loss only
        return self.text_head(self.clip)

    def setup(self, stage: str) -> None:
        """Read the seen class names once; testing needs no class name at all."""
        super().setup(stage)  # type: ignore[misc]
        if stage == "fit" and self.text_head is not None:
            names = self.hparams["class_names"]
            self.text_head.prepare(self.clip, self.backbone, names)

    def on_fit_start(self) -> None:
        """Embed the training images once where only a head behind the frozen towers trains."""
        super().on_fit_start()  # type: ignore[misc]
        trainer: Any = self.trainer
        data = trainer.datamodule
        if data is not None and self.batch_spec.features is not None:
            data.cache_features(lambda images, side: self.clip.visual(images))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is new and what was CLIP's have learning rates of their own."""
        trained = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        new = [p for n, p in trained if n.startswith(("adaptation.", "text_head."))]
        old = [p for n, p in trained if not n.startswith(("adaptation.", "text_head."))]
        rates = (self.hparams.get(name, 1e-5) for name in ("prompt_lr", "ln_lr"))
        return [{"params": p, "lr": rate} for p, rate in zip((new, old), rates, strict=True)]

    @property
    def output_fixed(self) -> bool:
        """Whether the towers give for an image what the frozen one gives, head aside."""
        visuals = (self.sketch_tower.visual, self.photo_tower.visual)
        trained = any(p.requires_grad for visual in visuals for p in visual.parameters())
        return self.adaptation.only_head and not trained

    def classification_losses(
        self, sketch: Tensor, photo: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Cross-entropy of both sides against the text embeddings of the seen classes.

        Args:
            sketch: Embeddings, (B, D).
            photo: Embeddings of photos of the same classes, (B, D).
            labels: Their classes, (B,).

        Returns:
            Scalars by the names that they are logged under.
        """
        scale, bank = self.logit_scale(self.hparams["cls_temperature"]), self.text_bank()
        return {
            f"train/cls_{side}": text_classification_loss(images, bank, labels, scale)
            for side, images in (("sketch", sketch), ("photo", photo))
        }

    def logit_scale(self, temperature: str | float) -> Tensor | float:
        """Factor of the cosine similarities in the softmax over classes.

        Args:
            temperature: ``clip`` for CLIP's frozen exp(logit_scale), 100 for OpenAI's weights;
                ``raw`` for logit_scale without exp, about 4.6, as ClipPrompt has it; or a number
                tau, which gives 1 / tau.
        """
        if temperature == "clip":
            return self.clip.logit_scale.exp()
        if temperature == "raw":
            return self.clip.logit_scale
        return 1.0 / float(temperature)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write which backbone the few trained tensors belong to."""
        super().on_save_checkpoint(checkpoint)  # type: ignore[misc]
        checkpoint["backbone"] = dict(self.identity)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another backbone before any tensor is compared."""
        theirs, ours = checkpoint.get("backbone"), self.identity
        if theirs is None or theirs.get("hash") != ours["hash"]:
            found = f"'{theirs.get('name')}' ({theirs})" if theirs else "no backbone entry"
            raise SketchClipError(
                f"Checkpoint is of another backbone: this model is '{ours['name']}' "
                f"({ours}), the checkpoint has {found}. Name what it was trained with (see "
                "config.yaml of its run): --model.backbone and --model.pretrained of fit and test, "
                "--pretrained of other commands."
            )
        super().on_load_checkpoint(checkpoint)  # type: ignore[misc]
