"""Zero-shot prompt learning: the category-level model of Sain et al., CVPR 2023, section 3.

Two branches over one frozen CLIP; each learns K visual prompts and its own LayerNorms with a
triplet loss and a classification loss against the frozen text embeddings of the seen classes.
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from data_modules.batch import TrainingBatch
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.text import TEMPLATE
from sketchclip.clip.towers import AlsoTrain, LayerNormMode
from sketchclip.functional import text_classification_loss, triplet_loss
from sketchclip.methods.base import RetrievalModule


class ZeroShotPromptLearning(CLIPEncoderMixin, RetrievalModule):
    """Prompts + LayerNorm tuning for ZS-SBIR: L = L_triplet + lambda_cls (L_cls^s + L_cls^p).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        n_prompts: Prompt tokens K of each branch.
        prompt_std: Standard deviation of their initialisation (released code: 1.0).
        layer_norm: LayerNorms of each branch, one shared set, or frozen.
        also_train: Further weights: output projection (ClipPrompt), or everything that the
            released code leaves trainable by accident.
        margin: Triplet margin in cosine distance (released code: 0.2).
        lambda_cls: Weight of the classification losses; 0 turns them off.
        cls_temperature: Softmax temperature: clip for CLIP's own scale, raw for logit_scale without
            exp (ClipPrompt), or a number tau.
        template: Sentence for a class name.
        prompt_lr: Learning rate of the prompts (released code: 1e-4).
        ln_lr: Learning rate of everything else that trains (released code: 1e-6).
        grad_checkpointing: Recompute activations to save memory.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        n_prompts: int = 3,
        prompt_std: float = 0.02,
        layer_norm: LayerNormMode = "per_branch",
        also_train: AlsoTrain = "nothing",
        margin: float = 0.3,
        lambda_cls: float = 0.5,
        cls_temperature: Literal["clip", "raw"] | float = "clip",
        template: str = TEMPLATE,
        prompt_lr: float = 1e-5,
        ln_lr: float = 1e-5,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.class_names = list(class_names)
        self.template = template
        self.margin = margin
        self.lambda_cls = lambda_cls
        self.cls_temperature = cls_temperature
        self.prompt_lr = prompt_lr
        self.ln_lr = ln_lr
        self.build_towers(
            backbone,
            pretrained,
            n_prompts,
            prompt_std,
            layer_norm,
            also_train,
            grad_checkpointing=grad_checkpointing,
        )

    def setup(self, stage: str) -> None:
        """Embed the seen class names once; testing needs no class name at all."""
        super().setup(stage)
        if stage == "fit" and self.lambda_cls:
            self.build_text_bank(self.class_names, self.template)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        assert batch.negative is not None  # by the pairing
        sketch = self.embed(batch.sketch, "sketch")
        photo = self.embed(batch.photo, "photo")
        negative = self.embed(batch.negative, "photo")

        triplet = triplet_loss(sketch, photo, negative, self.margin)
        loss = triplet
        logs = {"train/triplet": triplet}
        if self.lambda_cls:
            scale = self.logit_scale(self.cls_temperature)
            cls_sketch = text_classification_loss(sketch, self.text_bank, batch.label, scale)
            cls_photo = text_classification_loss(photo, self.text_bank, batch.label, scale)
            loss = loss + self.lambda_cls * (cls_sketch + cls_photo)
            logs |= {"train/cls_sketch": cls_sketch, "train/cls_photo": cls_photo}
        self.log_dict(logs | {"train/loss": loss}, batch_size=len(sketch))
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(sketch))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Prompts and LayerNorms have learning rates of their own."""
        trained = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        prompts = [p for n, p in trained if n.endswith(".prompts")]
        others = [p for n, p in trained if not n.endswith(".prompts")]
        return [{"params": prompts, "lr": self.prompt_lr}, {"params": others, "lr": self.ln_lr}]
