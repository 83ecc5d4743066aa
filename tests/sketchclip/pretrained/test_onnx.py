"""ONNX files: the same embeddings and ranking as PyTorch, for everything that can be adapted."""

import gc
import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.torch_version import TorchVersion

from sketchclip import adaptations, from_pretrained
from sketchclip.cli import main
from sketchclip.clip import CLIPImageEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods import ZSESBIR, FineGrainedPromptLearning, FrozenCLIP
from sketchclip.pretrained import onnx_check
from sketchclip.pretrained.model import SearchModel
from sketchclip.pretrained.onnx_export import Tower, export_tower, quantize, write_onnx


@pytest.fixture
def search_model(make_method):
    """A method on the tiny CLIP with every trained tensor moved away from where it starts."""

    def make(module=None, **settings) -> SearchModel:
        module = make_method(lambda_cls=0.0, **settings) if module is None else module
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        return SearchModel(module, "a model", module.preprocessing, torch.device("cpu"), {}, {})

    return make


@pytest.fixture(autouse=True)
def _forget_classes():
    """A failed export leaves classes of the tracer behind while its traceback is kept."""
    yield
    gc.collect()


def random_images(model, count):
    shape = (count, model.preprocessing.size, model.preprocessing.size, 3)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_exports(model, folder, sides=("sketch", "photo")):
    """Each tower gives PyTorch's unit vectors for any number of images."""
    for side in sides:
        export_tower(model, side, folder / f"{side}.onnx")
        run = session(folder / f"{side}.onnx")
        embed = model.sketches if side == "sketch" else model.photos
        for count in (1, 2, 5):
            images = random_images(model, count)
            (found,) = run.run(None, {"images": images})
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, embed([*images]), atol=2e-6)


@pytest.mark.slow
def test_a_tower_is_exported_with_prompts_and_normalisation(search_model, tmp_path):
    model = search_model()
    assert_exports(model, tmp_path, ["sketch"])
    file = onnx.load(tmp_path / "sketch.onnx")
    onnx.checker.check_model(file)
    (given,), (result,) = file.graph.input, file.graph.output
    shape = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    assert (given.name, shape) == ("images", ["batch", 32, 32, 3])
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert result.name == "embeddings"
    # The exporter notes stack traces of the machine that it ran on.
    assert not any(node.metadata_props for node in file.graph.node)
    assert b".py" not in (tmp_path / "sketch.onnx").read_bytes()
    # The other tower, the text encoder and the frozen original stay behind.
    weights = sum(np.prod(t.dims, dtype=int) for t in file.graph.initializer)
    assert weights < 1.2 * sum(p.numel() for p in model.module.sketch_tower.parameters())
    # The tracer derives classes of the same names, which would make a config's names ambiguous.
    derived = [cls.__qualname__ for cls in type(model.module).__subclasses__()]
    assert type(model.module).__qualname__ not in derived


ADAPTATIONS = {
    "common prompts": {"adaptation": adaptations.CommonPrompts(), "layer_norm": "shared"},
    "conditioned prompts": {"adaptation": adaptations.ConditionedPrompts()},
    "coupled prompts": {"adaptation": adaptations.CoupledPrompts()},
    "deep prompts": {"adaptation": adaptations.DeepPrompts(depth=3), "backbone": "tiny-deep"},
    "linear head": {"adaptation": adaptations.LinearHead(shared=False), "layer_norm": "none"},
    "full fine-tuning": {"adaptation": adaptations.FullFineTuning(shared=False)},
    "no prompts": {"adaptation": adaptations.IndependentPrompts(0)},
    "reads the prompt": {"adaptation": adaptations.IndependentPrompts(reads_prompt=True)},
    "projection": {"also_train": "projection"},
    "QuickGELU": {"backbone": "tiny-quickgelu"},
    "mean of the tokens": {"backbone": "tiny-avg"},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", ADAPTATIONS.values(), ids=ADAPTATIONS.keys())
def test_every_adaptation_is_exported(settings, search_model, tmp_path):
    weights = {"pretrained": "random"} if "backbone" in settings else {}
    assert_exports(search_model(**settings, **weights), tmp_path)


@pytest.mark.slow
def test_other_methods_are_exported(search_model, tiny_weights, tmp_path):
    frozen = FrozenCLIP("tiny", str(tiny_weights))
    assert_exports(search_model(frozen), tmp_path, ["photo"])
    fine = FineGrainedPromptLearning(["cat", "dog"], "tiny", str(tiny_weights), lambda_cls=0.0)
    assert_exports(search_model(fine), tmp_path, ["photo"])


@pytest.mark.skipif(
    TorchVersion(torch.__version__) < TorchVersion("2.9"),
    reason="the exporter of older versions keeps one branch; the comparison finds such files",
)
def test_what_cannot_be_traced_is_refused(search_model, make_method, tmp_path):
    method = make_method(lambda_cls=0.0)

    def embed(images, side):
        # Depends on what is in the image, outside the graph.
        return images.mean(dim=(2, 3)) if images.mean().item() > 0 else images.amax(dim=(2, 3))

    method.embed = embed
    with pytest.raises(SketchClipError, match=r"the photo tower has no ONNX form.*without --onnx"):
        export_tower(search_model(method), "photo", tmp_path / "photo.onnx")


def test_missing_packages_are_named_before_anything_is_loaded(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit) as stopped:
        main(["export", "no-such-run", "--onnx", "--to", str(tmp_path / "x")])
    assert stopped.value.code == 2
    assert "needs onnxscript: pip install 'sketchclip[onnx]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_files_that_embed_in_another_way_are_refused():
    told = {"onnx": {"max_difference": 2e-4}}
    with pytest.raises(SketchClipError, match=r"differ by up to 2\.0e-04"):
        onnx_check.check(told, "a model")
    with pytest.raises(SketchClipError, match="nan"):
        onnx_check.check({"onnx": {"max_difference": float("nan")}}, "a model")
    onnx_check.check({"onnx": {"max_difference": 3e-7}}, "a model")
    onnx_check.check({**told, "tolerance": 2e-3}, "a model")  # states of half precision
    with pytest.raises(SketchClipError, match="at most 2e-03"):
        onnx_check.check({"onnx": {"max_difference": 3e-3}, "tolerance": 2e-3}, "a model")


@pytest.mark.slow
def test_the_mini_is_exported_and_checked_on_the_benchmark(tmp_path, capsys):
    arguments = ["export", "frozen", "--backbone", "sketchclip-mini", "--onnx", "--int8"]
    main([*arguments, "--queries", "5", "--to", str(tmp_path / "mini")])
    told = json.loads((tmp_path / "mini" / "verification.json").read_text())
    assert (told["sketches"], told["photos"]) == (320, 128)
    assert told["onnx"]["max_difference"] < 2e-6
    assert told["onnx"]["same_first_10"] > 0.99
    assert told["onnx"]["mAP@all"] == pytest.approx(told["pytorch"]["mAP@all"], abs=1e-4)
    assert told["pytorch"]["mAP@all"] > 0.25
    assert told["onnx.int8"]["mAP@all"] == pytest.approx(told["pytorch"]["mAP@all"], abs=0.02)
    assert 1e-4 < told["onnx.int8"]["max_difference"] < 0.1  # another model, and a near one
    sizes = [sum(told[form]["bytes"].values()) for form in ("onnx", "onnx.int8")]
    assert sizes[1] < 0.4 * sizes[0]
    output = capsys.readouterr().out
    assert "onnx.int8" in output
    assert "sketch.int8.onnx" in output
    card = (tmp_path / "mini" / "README.md").read_text()
    assert f"| onnx.int8 | {told['onnx.int8']['mAP@all']:.4f} |" in card
    assert "(batch, 56, 56, 3)" in card
    # The folder is an ordinary export, too.
    model = from_pretrained(str(tmp_path / "mini"))
    image = random_images(model, 1)
    (found,) = session(tmp_path / "mini" / "photo.onnx").run(None, {"images": image})
    np.testing.assert_allclose(found, model.photos([*image]), atol=2e-6)


@pytest.mark.slow
def test_a_score_of_pairs_stays_behind_and_the_card_says_so(tmp_path, capsys):
    encoder = CLIPImageEncoder("sketchclip-mini")
    method = ZSESBIR(encoder, hidden=8, relation_dim=8, retrieval="rn")
    card = tmp_path / "README.md"
    card.write_text("# A model\n")
    model = SearchModel(method, "a model", method.preprocessing, torch.device("cpu"), {}, {})
    told = write_onnx(model, tmp_path, int8=False, queries=1)
    assert told["score"] == "rn"
    # By its vectors the untrained method ranks as the frozen encoder does, by rn at random.
    assert told["pytorch"]["mAP@all"] > 0.25
    assert told["onnx"]["mAP@all"] == pytest.approx(told["pytorch"]["mAP@all"], abs=1e-4)
    assert "score of pairs, rn, is not in the files" in card.read_text()
    assert "score rn is not in the files" in capsys.readouterr().out


@pytest.mark.slow
def test_vit_b32_is_exported(vit_weights, search_model, tmp_path):
    method = FrozenCLIP("ViT-B-32-quickgelu", str(vit_weights))
    model = search_model(method)
    export_tower(model, "photo", tmp_path / "photo.onnx")
    quantize(tmp_path / "photo.onnx", tmp_path / "photo.int8.onnx")
    images = random_images(model, 3)
    with torch.inference_mode():
        expected = Tower(model, "photo").eval()(torch.from_numpy(images)).numpy()
    (found,) = session(tmp_path / "photo.onnx").run(None, {"images": images})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (small,) = session(tmp_path / "photo.int8.onnx").run(None, {"images": images})
    assert (small * expected).sum(axis=1).min() > 0.98
    sizes = [(tmp_path / name).stat().st_size for name in ("photo.onnx", "photo.int8.onnx")]
    assert 340e6 < sizes[0] < 360e6
    assert sizes[1] < 0.3 * sizes[0]
