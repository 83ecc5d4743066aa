"""The model card of an exported model: what it is, its figures with their protocol, its limits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from sketchclip import __version__
from sketchclip.clip.mini import MINI_NAME
from sketchclip.metrics.definitions import metric_info

CARD = "README.md"
_TASK = "image-feature-extraction"
_TASK_NAME = "Zero-shot sketch-based image retrieval"
_USE = """```python
import sketchclip

model = sketchclip.from_pretrained("{name}")
sketches = model.sketches(["sketch.png"])
photos = model.photos(["first.jpg", "second.jpg"])
print(sketches @ photos.T)  # cosine similarities
```"""
_LIMITS = """## Limits

- The figures hold for the data and the protocol above, and for one training run; the intervals are
  over its queries alone. Other protocols of the same dataset give other figures.
- Drawings of another kind than those of the training may be found less well. Input is dark ink on
  white.
- The frozen CLIP is not part of these files. It comes with a licence and with the biases of its own
  training data; what it finds for drawings of people should decide nothing about people."""
_MINI = """
- `sketchclip-mini` is a small CLIP for demonstrations, pre-trained on icons and emoji. For photos,
  adapt a ViT-B/32."""


def model_card(about: Mapping[str, Any], name: str, trained: int, license_id: str) -> ModelCard:
    """Write a model card: YAML front matter with the metrics as a model index, and text.

    ``name`` is what :func:`sketchclip.from_pretrained` loads; ``trained`` counts parameters.
    """
    results = about["results"]
    data = ModelCardData(
        model_name=name,
        license=license_id,
        library_name="sketchclip",
        pipeline_tag=_TASK,
        tags=["sketch", "image-retrieval", "zero-shot", "clip", "sbir", about["method"]],
        base_model=_base_model(about["backbone"] or {}),
        eval_results=[entry for result in results for entry in _entries(result)] or None,
    )
    text = "\n\n".join(_sections(about, name, trained))
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def onnx_section(told: Mapping[str, Any], size: int) -> str:
    """Section of the card on ONNX files: inputs, outputs, and how they compare with PyTorch."""
    rows = ["| | mAP@all | P@1 | largest difference from PyTorch |", "|---|---|---|---|"]
    for form in (name for name in told if name.startswith(("pytorch", "onnx"))):
        row = told[form]
        difference = f"{row['max_difference']:.1e}" if "max_difference" in row else ""
        rows.append(f"| {form} | {row['mAP@all']:.4f} | {row['P@1']:.4f} | {difference} |")
    score = ""
    if "score" in told:
        score = (
            f" The method's own score of pairs, {told['score']}, is not in the files: they rank "
            "by the vectors that make its shortlist, and so does this table."
        )
    return (
        f"## ONNX\n\n`sketch.onnx` and `photo.onnx` take `images`, uint8 RGB (batch, {size}, "
        f"{size}, 3), and give `embeddings`, fp32 of unit length. How images are fitted into the "
        f"square is in `config.json`.{score} {told['benchmark']}, {told['sketches']:,} sketches, "
        f"{told['photos']:,} photos:\n\n" + "\n".join(rows) + "\n"
    )


def _base_model(backbone: Mapping[str, Any]) -> str | None:
    """Repository of the hub with the frozen weights, where open_clip knows one."""
    import open_clip

    if not backbone.get("pretrained"):  # from a file
        return None
    tag = "openai" if backbone["pretrained"] == "default" else backbone["pretrained"]
    known = open_clip.get_pretrained_cfg(backbone["name"], tag)
    return str(known["hf_hub"]).strip("/") if known.get("hf_hub") else None


def _shown(metrics: Mapping[str, float]) -> dict[str, float]:
    return {
        name: value
        for name, value in metrics.items()
        if metric_info(name).quoted  # chance levels and other definitions are in config.json
    }


def _entries(result: Mapping[str, Any]) -> Iterator[EvalResult]:
    for name, value in _shown(result["metrics"]).items():
        interval = [round(bound, 4) for bound in result["interval_95"].get(name, ())]
        yield EvalResult(
            task_type=_TASK,
            task_name=_TASK_NAME,
            dataset_type=result["dataset"].lower(),
            dataset_name=result["dataset"],
            dataset_split=result["split"],
            dataset_args={"protocol": result["protocol"], "seed": result["seed"]},
            metric_type=name,
            metric_name=name,
            metric_value=round(value, 4),
            metric_args={"interval_95": interval} if interval else None,
        )


def _sections(about: Mapping[str, Any], name: str, trained: int) -> Iterator[str]:
    backbone = about["backbone"] or {"name": "no CLIP", "hash": "none"}
    yield f"# {name}"
    weights = f"`{backbone['name']}` (weights {backbone['hash']})"
    parts = (
        f"These files hold the {trained:,} trained parameters; the rest is the frozen {weights}, "
        "which is loaded beside them. Weights with another hash are refused."
        if trained
        else f"Nothing is trained: the model is the frozen {weights} as it is."
    )
    yield (
        "Embeds sketches and photos, so that photos of what a sketch shows are near it, also of "
        f"classes that training has not seen. Method: `{about['method']}` of sketchclip "
        f"{__version__}. {parts}"
    )
    yield "## Use\n\nWith sketchclip installed:"
    yield _USE.format(name=name)
    yield "## Results"
    if not about["results"]:
        yield "This checkpoint was not tested before it was exported."
    for result in about["results"]:
        yield from _figures(result)
    yield "## Training\n\nAll settings are in `config.yaml`, as `sketchclip fit` reads them."
    yield _LIMITS + (_MINI if backbone["name"] == MINI_NAME else "")


def _figures(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{result['dataset']}, split {result['split']}, {len(result['unseen_classes'])} classes "
        f"that training has not seen, {result['training_classes']} that it has. "
        f"{result['queries']:,} sketches, gallery of {result['gallery']:,} photos. Seed "
        f"{result['seed']}, precision {result['precision']}."
        + (" Only a part of the test was run." if result["partial"] else "")
    )
    ranked = f"; ranked by {result['ranking']}" if "ranking" in result else ""
    yield f"Protocol: {result['protocol']}{ranked}."
    yield _table(result["metrics"], result["interval_95"])
    yield f"Definitions: {result['definition']}. Intervals: bootstrap over queries."


def _table(metrics: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> str:
    rows = ["| figure | value | 95 % interval | chance |", "|---|---|---|---|"]
    for name, value in _shown(metrics).items():
        interval = intervals.get(name)
        chance = metrics.get(f"chance_{name}")
        between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        rows.append(
            f"| {name} | {value:.4f} | {between} | {'' if chance is None else f'{chance:.4f}'} |"
        )
    return "\n".join(rows)
