"""Load an open_clip model, frozen, from OpenAI's weights, a local file or the package."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

from sketchclip.checkpoint import mark_pretrained, read_state_dict
from sketchclip.clip.mini import MINI_NAME, create_mini
from sketchclip.clip.towers import check_visual
from sketchclip.errors import MissingWeightsError, SketchClipError, first_line
from sketchclip.system.network import hub

# open_clip.CLIP, duck-typed: its towers' attributes are checked at run time by check_visual.
CLIPModel = Any

# OpenAI's state dicts carry these three numbers beside the weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")


def load_backbone(name: str, pretrained: str | None) -> CLIPModel:
    """Create an ``open_clip.CLIP`` in fp32, frozen, in eval mode.

    Args:
        name: open_clip model name, or ``sketchclip-mini`` for the small CLIP inside the package.
        pretrained: open_clip tag, path of a checkpoint (safetensors, state dict or OpenAI's
            TorchScript archive), ``random`` (tests), or ``None`` for the model's own weights:
            those inside the package for the mini, OpenAI's for every other model.

    Returns:
        The frozen model.

    Raises:
        SketchClipError: If the name is unknown, the weights cannot be had, or the tower cannot
            take prompts.
    """
    import open_clip

    if name == MINI_NAME:
        model = _load_mini(pretrained)
    else:
        if open_clip.get_model_config(name) is None:
            raise SketchClipError(
                f"Unknown backbone '{name}'. Expected a name from open_clip.list_models() such as "
                f"ViT-B-32-quickgelu, or {MINI_NAME}."
            )
        if pretrained == "random":
            model = open_clip.create_model(name, pretrained=None, pretrained_text=False)
        elif pretrained is not None and Path(pretrained).is_file():
            model = open_clip.create_model(name, pretrained=None, pretrained_text=False)
            _load_file(model, Path(pretrained), name)
        else:
            model = _load_tag(name, pretrained or "openai")
    check_visual(model.visual, name)
    return mark_pretrained(model.float())


def _load_mini(pretrained: str | None) -> CLIPModel:
    if pretrained == "random":
        return create_mini(None)
    if pretrained is None:
        return create_mini()
    if not Path(pretrained).is_file():
        raise SketchClipError(
            f"{MINI_NAME}: expected --model.pretrained=null (the weights inside the package) or a "
            f"safetensors file, found '{pretrained}', which is no file."
        )
    try:
        return create_mini(Path(pretrained))
    except Exception as error:
        raise SketchClipError(
            f"{pretrained} holds no weights of {MINI_NAME} ({type(error).__name__}: "
            f"{first_line(error)}). Use --model.pretrained=null for those inside the package."
        ) from error


def _load_tag(name: str, tag: str) -> CLIPModel:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise _no_weights(name, tag, f"that is neither a file nor one of its tags {tags}")
    with warnings.catch_warnings():
        # A GELU in place of QuickGELU costs accuracy silently; open_clip only warns.
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        try:
            with hub() as problem:
                return open_clip.create_model(name, pretrained=tag)
        except UserWarning as mismatch:
            raise SketchClipError(
                f"{mismatch} Use the backbone '{name}-quickgelu' with the tag '{tag}'."
                if not name.endswith("-quickgelu")
                else f"{mismatch} Use '{name.removesuffix('-quickgelu')}' with the tag '{tag}'."
            ) from None
        except (RuntimeError, OSError) as error:
            reason = problem or f"download failed ({first_line(error)})"
            raise _no_weights(name, tag, reason) from None


def _no_weights(name: str, tag: str, reason: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"No weights for backbone '{name}', pretrained '{tag}': {reason}",
        "--model.pretrained",
        f"take the small CLIP inside the package with --model.backbone={MINI_NAME} "
        "--model.pretrained=null",
    )


def _load_file(model: CLIPModel, path: Path, name: str) -> None:
    import open_clip

    state = read_state_dict(path)
    from_openai = [key for key in _OPENAI_EXTRAS if state.pop(key, None) is not None]
    if from_openai and not open_clip.get_model_config(name).get("quick_gelu", False):
        raise SketchClipError(
            f"QuickGELU mismatch: {path} is OpenAI's file, trained with QuickGELU, but '{name}' "
            f"uses GELU. Use --model.backbone={name}-quickgelu."
        )
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        # PyTorch lists every name: a few say what the file is.
        lines = "\n".join(f"{line.strip():.200}" for line in str(error).splitlines()[1:6])
        raise SketchClipError(
            f"{path} does not fit backbone '{name}':\n{lines}\n"
            "Name the architecture the file was made for with --model.backbone."
        ) from None


def backbone_hash(visual: Any) -> str:
    """Hash a frozen tower by tensors that no adaptation of it leaves alike: 16 digits."""
    digest = hashlib.sha256()
    for tensor in (visual.class_embedding, visual.positional_embedding, visual.proj):
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
