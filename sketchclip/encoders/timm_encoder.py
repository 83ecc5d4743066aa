"""Any image network of timm as an encoder, with its own preprocessing."""

import hashlib
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models import checkpoint_seq
from torch import Tensor, nn

from data_modules.ranges import Count, NotAll
from data_modules.transforms import Interpolation, Side
from sketchclip.checkpoint import mark_pretrained, read_state_dict
from sketchclip.encoders.base import Classifier, ImageEncoder
from sketchclip.encoders.patch_stem import add_stem
from sketchclip.errors import MissingWeightsError, SketchClipError
from sketchclip.nn import SpatialAttention
from sketchclip.system.network import hub


class TimmEncoder(ImageEncoder):
    """A network of timm without its classifier, the same for sketches and photos.

    Args:
        name: Name in timm, such as vgg16.tv_in1k, resnet50.tv_in1k or mobilenetv2_100.ra_in1k.
        pretrained: File of weights (a state dict or safetensors); null for those that timm
            downloads once; random for none.
        frozen: Keep the weights as they are; else all of them train.
        size: Side of the input in pixels; null for the network's own.
        attention: Spatial attention over the last feature map, for networks that have one.
        dropout: Part of the numbers that the last layers drop in training, in networks that have
            such layers, as VGG does.
        token_dropout: Part of the numbers that a ViT drops in training after its positions, its
            attention and both layers of its MLPs.
        stem: Whether patches of a ViT are embedded by the mean of its own layer and of four new
            convolutions, for patches of 16 pixels (ZSE-SBIR).
    """

    def __init__(
        self,
        name: str = "resnet50.tv_in1k",
        pretrained: str | None = None,
        frozen: bool = False,
        size: Count | None = None,
        attention: bool = False,
        dropout: NotAll = 0.0,
        token_dropout: NotAll = 0.0,
        stem: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.pretrained = pretrained
        self.frozen = frozen
        self.attention = attention
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.stem = stem
        for new in [n for n, on in (("attention", attention), ("stem", stem)) if on and frozen]:
            raise SketchClipError(
                f"TimmEncoder: {new} has weights that must train, and frozen=true trains none. "
                f"Set --model.encoder.init_args.{new}=false, or frozen=false."
            )
        self.net: Any = load_network(name, pretrained, dropout, size, token_dropout)
        head = self.net.get_classifier()
        # Tensors, no parameters: the classes are of no use to most methods.
        self._classifier = None
        if isinstance(head, nn.Linear):
            bias = torch.zeros(head.out_features) if head.bias is None else head.bias.detach()
            self._classifier = (head.weight.detach().clone(), bias.clone())
        self.net.reset_classifier(0)
        steps = timm.data.resolve_data_config({}, model=self.net)
        self.size = size
        self.image_size = size or int(steps["input_size"][-1])
        self.mean, self.std = tuple(steps["mean"]), tuple(steps["std"])
        kind: Interpolation = "bilinear" if steps["interpolation"] == "bilinear" else "bicubic"
        self.interpolation = kind
        self.dim = int(getattr(self.net, "head_hidden_size", None) or self.net.num_features)
        self.attend: nn.Module = nn.Identity()
        if attention:
            self.attend = SpatialAttention(int(self.net.num_features))
        self.origin = self._identify()
        if stem:
            add_stem(self.net, name)
        if frozen:
            mark_pretrained(self.net)

    def classifier(self) -> Classifier:
        """Classifier that came with the weights, of ImageNet's classes for most."""
        if self.attention:
            raise SketchClipError(
                "TimmEncoder: attention, whose weights start at random, changes the embedding that "
                "the pretrained classifier is of. Set --model.encoder.attention=false."
            )
        if self._classifier is None:
            raise SketchClipError(
                f"The network '{self.name}' has no classifier that is one linear layer over its "
                "embedding, which the method starts from and keeps as its teacher. Name another "
                "network with --model.encoder.name, such as resnet50.tv_in1k."
            )
        return self._classifier

    def class_token(self) -> tuple[Tensor, Tensor] | None:
        """Class token of a VisionTransformer of timm that embeds by it, and its position."""
        net = self.net
        if not isinstance(net, timm.models.VisionTransformer) or self.attention:
            return None
        if net.cls_token is None or net.global_pool != "token" or net.attn_pool is not None:
            return None
        token = net.cls_token.detach()[0, 0]
        placed = net.pos_embed is not None and not net.no_embed_class
        return token, net.pos_embed.detach()[0, 0] if placed else torch.zeros_like(token)

    def two_tokens(self, images: Tensor, token: Tensor) -> Tensor:
        """Embed images by the class token and a second one: timm's own forward with one more."""
        net = self.net
        tokens = net.patch_drop(net._pos_embed(net.patch_embed(images)))
        second = token.to(tokens).expand(len(tokens), 1, -1)
        tokens = net.norm_pre(torch.cat([tokens[:, :1], second, tokens[:, 1:]], dim=1))
        if net.grad_checkpointing and torch.is_grad_enabled():
            tokens = checkpoint_seq(net.blocks, tokens)
        else:
            tokens = net.blocks(tokens)
        return cast(Tensor, net.head_drop(net.fc_norm(net.norm(tokens)[:, :2])))

    @property
    def patches(self) -> int:
        """Number of patch tokens of a ViT that embeds by its class token, else 0."""
        plain = self.class_token() is not None and self.net.num_prefix_tokens == 1
        return int(self.net.patch_embed.num_patches) if plain else 0

    def tokens(self, images: Tensor) -> Tensor:
        """Embed images token by token, (B, 1 + patches, dim)."""
        return cast(Tensor, self.net.fc_norm(self.net.forward_features(images)))

    def _identify(self) -> dict[str, str]:
        # The name, too: networks with equal tensors may differ in an activation.
        digest = hashlib.sha256(self.name.partition(".")[0].encode())
        for tensor in self.net.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        weights = self.pretrained or "default"
        return {"name": self.name, "pretrained": weights, "hash": digest.hexdigest()[:16]}

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of either side, (B, 3, H, W) to (B, dim)."""
        features = self.attend(self.net.forward_features(images))
        return cast(Tensor, self.net.forward_head(features))


def load_network(
    name: str,
    pretrained: str | None,
    dropout: float = 0.0,
    size: int | None = None,
    token_dropout: float = 0.0,
) -> Any:
    """Create a network of timm in fp32 with its classifier.

    Args:
        name: Name in timm.
        pretrained: See :class:`TimmEncoder`.
        dropout: See there.
        size: See there.
        token_dropout: See there.

    Raises:
        SketchClipError: If there is no such network, or its weights cannot be had.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0][:8]}*")[:6]
        raise SketchClipError(
            f"Unknown network '{name}'. Expected a name of timm.list_models(), such as "
            f"{', '.join(near or ['resnet50', 'vgg16', 'mobilenetv2_100'])}."
        )
    try:
        overlay = None
        if pretrained not in (None, "random"):
            if not Path(pretrained).is_file():
                raise _no_weights(name, f"{pretrained} is no file")
            overlay = {"state_dict": read_state_dict(Path(pretrained))}
        options: dict[str, Any] = {"pretrained": pretrained != "random"}
        options["pretrained_cfg_overlay"] = overlay
        options |= {"drop_rate": dropout} if dropout else {}
        if token_dropout:
            options |= dict.fromkeys(("pos_drop_rate", "proj_drop_rate"), token_dropout)
        with hub() if pretrained is None else nullcontext() as problem:
            if size is not None:
                with suppress(TypeError):  # of networks that take images of any size as they are
                    return timm.create_model(name, img_size=size, **options)
            return timm.create_model(name, **options)
    except SketchClipError:
        raise
    except Exception as error:  # of the hub's client, of the network, of load_state_dict
        if token_dropout and isinstance(error, TypeError):
            raise SketchClipError(
                f"The network '{name}' takes no token_dropout: expected a ViT of timm. Set "
                "--model.encoder.token_dropout 0."
            ) from error
        reason = " ".join(str(error).split())
        if pretrained is None and problem:
            raise _no_weights(name, problem) from error
        what = "download failed" if pretrained is None else f"{pretrained} does not fit"
        raise _no_weights(name, f"{what} ({reason[:300]})") from error


def _no_weights(name: str, reason: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"No weights for the network '{name}': {reason}",
        "--model.encoder.init_args.pretrained",
        "take the small CLIP inside the package with --model.encoder=CLIPImageEncoder "
        "--model.encoder.init_args.backbone=sketchclip-mini",
    )
