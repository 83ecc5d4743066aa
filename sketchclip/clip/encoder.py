"""What every CLIP-based method shares: towers, text bank, preprocessing, checkpoint identity."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from data_modules.transforms import Side
from sketchclip.clip.backbone import CLIPModel, fingerprint, load_backbone
from sketchclip.clip.text import TEMPLATE, encode_classes
from sketchclip.clip.towers import AlsoTrain, LayerNormMode, PromptedTower, fork_visual
from sketchclip.errors import SketchClipError


class CLIPEncoderMixin(nn.Module):
    """Sketch and photo towers over one frozen CLIP; mix in before ``RetrievalModule``.

    A method calls :meth:`build_towers` in its constructor and :meth:`embed` in its steps.
    """

    clip: CLIPModel
    text_bank: Tensor

    def build_towers(
        self,
        backbone: str,
        pretrained: str | None,
        n_prompts: int = 0,
        prompt_std: float = 0.02,
        layer_norm: LayerNormMode = "none",
        also_train: AlsoTrain = "nothing",
        common: bool = False,
        grad_checkpointing: bool = False,
    ) -> None:
        """Load the backbone and fork one tower a branch.

        Args:
            backbone: See :func:`sketchclip.clip.backbone.load_backbone`.
            pretrained: See there.
            n_prompts: Prompt tokens of a tower.
            prompt_std: Standard deviation of their initialisation.
            layer_norm: ``per_branch`` gives each branch its own LayerNorms, ``shared`` one set for
                both, ``none`` freezes them.
            also_train: See :func:`sketchclip.clip.towers.trains`.
            common: Whether sketches and photos use one tower, prompts included (FG-ZS-SBIR).
            grad_checkpointing: Trade a second forward for the activations' memory.
        """
        self.clip = load_backbone(backbone, pretrained)
        self.backbone = backbone
        self.backbone_identity = {
            "name": backbone,
            "pretrained": pretrained or "default",
            "fingerprint": fingerprint(self.clip.visual),
        }
        if grad_checkpointing:
            self.clip.visual.set_grad_checkpointing(True)
        visual = fork_visual(self.clip.visual, layer_norm, also_train)
        self.sketch_tower = PromptedTower(visual, n_prompts, prompt_std)
        if common:
            self.photo_tower = self.sketch_tower
        else:
            if layer_norm != "shared":
                visual = fork_visual(self.clip.visual, layer_norm, also_train)
            self.photo_tower = PromptedTower(visual, n_prompts, prompt_std)
        self.register_buffer("text_bank", None, persistent=False)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels, read from the tower."""
        return int(self.clip.visual.image_size[0])

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation a channel of the CLIP model's own preprocessing."""
        import open_clip

        config = open_clip.get_model_preprocess_cfg(self.clip)
        return tuple(config["mean"]), tuple(config["std"])

    @property
    def interpolation(self) -> str:
        """Interpolation of the CLIP model's own preprocessing."""
        import open_clip

        return str(open_clip.get_model_preprocess_cfg(self.clip)["interpolation"])

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed one side's images.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            side: Which tower reads them.

        Returns:
            Embeddings, not normalised, shape (B, D).
        """
        return self.sketch_tower(images) if side == "sketch" else self.photo_tower(images)

    def build_text_bank(self, class_names: Sequence[str], template: str = TEMPLATE) -> None:
        """Cache the frozen text embeddings of ``class_names``; row = label."""
        bank = encode_classes(self.clip, self.backbone, class_names, template)
        self.register_buffer("text_bank", bank, persistent=False)

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

    def train(self, mode: bool = True) -> "CLIPEncoderMixin":
        """Set training mode for the method; the frozen CLIP stays in eval mode."""
        super().train(mode)
        self.clip.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write which backbone the few trained tensors belong to."""
        super().on_save_checkpoint(checkpoint)  # type: ignore[misc]
        checkpoint["backbone"] = dict(self.backbone_identity)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another backbone before any tensor is compared."""
        theirs, ours = checkpoint.get("backbone"), self.backbone_identity
        if theirs is None or theirs["fingerprint"] != ours["fingerprint"]:
            found = f"'{theirs['name']}' ({theirs})" if theirs else "no backbone entry"
            raise SketchClipError(
                f"Checkpoint is of another backbone: this model is '{ours['name']}' "
                f"({ours}), the checkpoint has {found}. Pass the --model.backbone and "
                "--model.pretrained that it was trained with (see config.yaml of its run)."
            )
        super().on_load_checkpoint(checkpoint)  # type: ignore[misc]


def trainable_names(module: nn.Module) -> list[str]:
    """Names of the trainable parameters, each tensor once."""
    return [name for name, p in module.named_parameters() if p.requires_grad]


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Number of trainable and of all parameters, each tensor once.

    >>> count_parameters(nn.Linear(2, 3))
    (9, 9)
    """
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, on in counts if on), sum(n for n, _ in counts)
