"""Backbones that take prompts, read from open_clip's own files; it is not imported."""

import ast
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_QUICK = "-quickgelu"


def backbones() -> list[dict[str, Any]]:
    """List the mini CLIP, then the plain ViTs of open_clip that have weights, and their tags."""
    mini = {"name": "sketchclip-mini", "about": "the small CLIP inside the package", "weights": []}
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        return [mini]
    package = Path(spec.submodule_search_locations[0])
    tags = _tags(ast.parse((package / "pretrained.py").read_text("utf-8")))
    found = []
    for path in sorted((package / "model_configs").glob("*.json")):
        config = json.loads(path.read_text("utf-8"))
        vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
        # Towers of timm, ResNets and attentional pooling take no prompts: see check_visual.
        plain = "timm_model_name" not in vision and isinstance(vision.get("layers"), int)
        plain = plain and not vision.get("attentional_pool") and "hf_model_name" not in text
        if plain and path.stem in tags:
            size = f"{vision['image_size']} px, patches of {vision['patch_size']}"
            about = f"ViT of {vision['layers']} layers, width {vision['width']}, {size}"
            found.append({"name": path.stem, "about": about, "weights": tags[path.stem]})
    return [mini, *found]


def _tags(module: ast.Module) -> dict[str, list[str]]:
    """Tags of weights by the name of their model; GELU's fast form is a model of its own."""
    given: dict[str, dict[str, bool]] = {}
    models: dict[str, list[str]] = {}
    for node in module.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if isinstance(node.value, ast.Call):
            given[node.targets[0].id] = {
                str(tag.arg): any(
                    option.arg == "quick_gelu" and ast.unparse(option.value) == "True"
                    for option in getattr(tag.value, "keywords", ())
                )
                for tag in node.value.keywords
            }
        elif isinstance(node.value, ast.Dict) and node.targets[0].id == "_PRETRAINED":
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                    name, found = str(key.value), given.get(value.id, {})
                    models[name] = [*found]
                    quick = [tag for tag, fast in found.items() if fast]
                    if quick:
                        models[f"{name}{_QUICK}"] = quick
    return models
