"""Systems before and after the paper, on a tiny network: what every method promises."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

import sketchclip
from sketchclip.cli import main
from sketchclip.clip.mini import MINI_NAME, create_mini, save_mini
from sketchclip.methods import earlier, later
from sketchclip.metrics.vectors import as_product
from sketchclip.tables.paper import ROWS
from tests.sketchclip.methods.test_ddp import command

EARLIER = {row.method: row for row in ROWS if row.group == "earlier"}
SMALL = {
    "Doodle2Search": ("--model.dim", "16"),
    "IIAE": ("--model.dim", "8", "--model.hidden", "16", "--data.classes_per_batch", "2"),
    "CVAE": ("--model.latent", "8", "--model.hidden", "16", "--model.samples", "3"),
    "CAAE": ("--model.latent", "8", "--model.hidden", "16", "--model.samples", "3"),
    "SEMPCYC": ("--model.dim", "16", "--data.classes_per_batch", "2"),
    "SAKE": ("--model.dim", "16", "--model.hint_weight", "0"),
    "SeenClassClassifier": ("--model.dim", "16"),
    "TCN": ("--model.dim", "16", "--model.norm", "side"),
    "Sketch3T": ("--model.dim", "16", "--model.sketch_target", "raster", "--model.map_size", "8"),
    "SketchGCN": ("--model.dim", "16", "--model.hidden", "16", "--model.latent", "4"),
    "PSKD": ("--model.projection", "16", "--model.hidden", "32"),
    "TVT": ("--model.projection", "16", "--model.hidden", "32", "--model.prototypes", "24"),
    "SelfDistillation": (
        *("--model.projection", "16", "--model.hidden", "32", "--model.prototypes", "24"),
        *("--model.small_crops", "1"),
    ),
    "CrossGrad": ("--model.dim", "16"),
    "CCDG": (
        "--model.dim",
        "16",
        "--model.hidden",
        "16",
        "--model.traits",
        "8",
        "--model.rank",
        "4",
        "--model.trait_epochs",
        "1",
    ),
    "MARL": ("--model.mode_std", "0.1"),
    "MCC": (
        *("--model.capacity", "Capacity", "--model.capacity.sketch", "0.1"),
        *("--model.capacity.photo", "0.2", "--model.criterion", "classes"),
    ),
    "ZSESBIR": (
        *("--model.hidden", "32", "--model.relation_dim", "16", "--model.retrieval", "rn"),
        *("--model.shortlist", "0", "--model.encoder.token_dropout", "0.1"),
        *("--model.encoder.stem", "true"),
    ),
    "ZSESBIRFineGrained": ("--model.hidden", "32", "--model.relation_dim", "16"),
}
FIRST_STAGES = {"SeenClassClassifier", "SelfDistillation"}
TRAINED = (
    *("CCDG", "CrossGrad", "Doodle2Search", "PSKD", "SAKE", *sorted(FIRST_STAGES), "TCN", "TVT"),
    "MCC",
    *("ZSESBIR", "ZSESBIRFineGrained"),
)
"""Methods whose papers train the encoder."""
TRANSFORMERS = ("PSKD", "SelfDistillation", "TVT", "ZSESBIR", "ZSESBIRFineGrained")
"""Methods of a ViT."""
CLIP = ("MARL",)
"""Methods of CLIP, both towers."""
RATES = {"SeenClassClassifier": ("--model.lr", "0.1"), "MARL": ("--model.clip_lr", "1e-3")}
"""Learning rates for eight samples; 1e-3 for all others."""
AVERAGED = {"SelfDistillation": ("encoder.", "head.")}
"""Moving averages of what trains: they change without a gradient."""
# The sum of the sides of a game need not fall, nor a distance of two nets that starts at 0, nor a
# cross-entropy with a teacher that is sharpened around a moving centre.
FALLING = {"CAAE": "train/reconstruction", "SEMPCYC": "train/cls"}
FALLING |= dict.fromkeys(("PSKD", "TCN", "TVT"), "train/classes")
FALLING["CCDG"] = "train/triplet"  # the trait network has learnt before, in the first epoch
LARGE = (
    *("CCDG", "CrossGrad", "Doodle2Search", "MARL", "MCC", "PSKD", "SAKE", "SeenClassClassifier"),
    *("SelfDistillation", "Sketch3T", "TCN", "TVT", "ZSESBIR", "ZSESBIRFineGrained"),
)
"""Methods whose eighty steps take longest; the default run has the others."""
every_method = pytest.mark.parametrize("method", SMALL)
# In the default run one with dropout, one with a schedule and an encoder that trains, and
# one with three optimisers stand for all.
EXAMPLES = ("CVAE", "SAKE", "SEMPCYC")
every_method_in_time = pytest.mark.parametrize(
    "method", [m if m in EXAMPLES else pytest.param(m, marks=pytest.mark.slow) for m in SMALL]
)


def network(method: str) -> str:
    if method in CLIP:
        return MINI_NAME
    return "test_vit" if method in TRANSFORMERS else "test_resnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with weights of tiny networks, in place of ImageNet's."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        for name in ("test_resnet", "test_vit"):
            torch.manual_seed(0)
            torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pt")
        save_mini(create_mini(None), folder / f"{MINI_NAME}.safetensors", range(49408))
    return folder


def weights_of(method: str, folder: Path) -> Path:
    (file,) = folder.glob(f"{network(method)}.*")
    return file


@pytest.fixture
def arguments(tree: Path, tmp_path: Path, weights: Path) -> Any:
    """Options of a method's run on generated data."""

    def make(method: str, devices: int = 1) -> list[str]:
        frozen, file = method not in TRAINED, str(weights_of(method, weights))
        encoder = ("--model.backbone", MINI_NAME, "--model.pretrained", file)
        if method not in CLIP:
            encoder = (
                *("--model.encoder", "TimmEncoder", "--model.encoder.name", network(method)),
                *("--model.encoder.pretrained", file, "--model.encoder.size", "64"),
                *("--model.encoder.frozen", str(frozen).lower()),
            )
        return [
            *("--model", method, *encoder),
            *SMALL[method],
            *("--data", "SketchPhotoFolder", "--data.root", str(tree)),
            *("--data.split", "random:2:0", "--data.num_workers", "0", "--data.batch_size", "6"),
            *("--trainer.accelerator", "cpu", "--trainer.devices", str(devices)),
            *("--trainer.strategy", "ddp" if devices > 1 else "auto"),
            *("--trainer.enable_progress_bar", "false", "--grids.queries", "0"),
            *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path / "runs")),
        ]

    return make


@pytest.fixture
def fit(arguments: Any) -> Any:
    def call(method: str, *flags: str) -> Any:
        return main(["fit", *arguments(method), "--trainer.max_epochs", "1", *flags])

    return call


def embeddings(model: Any, tree: Path) -> dict[str, np.ndarray]:
    found = {}
    for side in ("sketch", "photo"):
        paths = sorted(tree.glob(f"{side}/*/*.png"))
        found[side] = (model.sketches if side == "sketch" else model.photos)(paths)
    return found


def ranking(model: Any, sketch: Path, photos: list[Path]) -> list[int]:
    """Order of photos by the method's own score, or else by the similarity of vectors."""
    vectors, states = model.indexed([model.read(photo) for photo in photos])
    vector, score = model.query(sketch)
    if score is not None:
        scores = score(states)
    else:
        left = as_product(torch.from_numpy(vector[None]), model.similarity, "query")
        right = as_product(torch.from_numpy(vectors), model.similarity, "gallery")
        scores = (left @ right.T)[0].numpy()
    return np.argsort(-scores, kind="stable").tolist()


def test_every_file_has_a_row() -> None:
    assert {*earlier.__all__} == EARLIER.keys()
    elsewhere = {"SpLIP", "SpLIPFineGrained"}  # test_splip_runs.py
    assert {*earlier.__all__, *later.__all__, *FIRST_STAGES} - elsewhere == SMALL.keys()


@every_method_in_time
def test_a_checkpoint_an_export_and_an_index_rank_alike(
    method: str, fit: Any, tree: Path, tmp_path: Path, weights: Path
) -> None:
    folder = fit(method).trainer.log_dir
    tested = main(["test", "--ckpt_path", folder, "--data.num_workers", "0"])
    assert 0 < float(tested.trainer.callback_metrics["test/mAP@all"]) <= 1
    result = json.loads(Path(folder, "test", "metrics.json").read_text("utf-8"))
    assert result["backbone"]["name"] == network(method)
    known = hasattr(tested.model, "semantics")
    assert ("CLIP text" in result["class_vectors"]) if known else "class_vectors" not in result
    file = weights_of(method, weights)
    main(["export", folder, "--to", str(tmp_path / "exported"), "--pretrained", str(file)])
    run = sketchclip.from_pretrained(folder)
    exported = sketchclip.from_pretrained(str(tmp_path / "exported"), pretrained=file)
    assert run.model_hash == exported.model_hash
    first, second = embeddings(run, tree), embeddings(exported, tree)
    for side in first:
        np.testing.assert_array_equal(first[side], second[side])
    index = str(tmp_path / "index")
    main(["index", str(tree / "photo"), "-o", index, "--model", folder])
    sketch = sorted(tree.glob("sketch/*/*.png"))[0]
    hits = main(["search", str(sketch), "--index", index, "-k", "5"])
    paths = sorted(tree.glob("photo/*/*.png"))
    order = ranking(run, sketch, paths)
    assert ranking(exported, sketch, paths) == order
    assert [hit.path.resolve() for hit in hits] == [paths[at].resolve() for at in order[:5]]


@every_method_in_time
def test_a_resumed_run_is_the_uninterrupted_one(method: str, fit: Any, arguments: Any) -> None:
    epochs = ("--trainer.max_epochs", "2")
    whole = fit(method, *epochs).trainer
    stop = "--trainer.callbacks+=tests.helpers.interrupt.StopAfterOneEpoch"
    half = fit(method, *epochs, stop).trainer
    assert half.current_epoch == 1
    path = f"{half.log_dir}/checkpoints/last.ckpt"
    again = main(["fit", *arguments(method), *epochs, "--ckpt_path", path])
    files = [Path(t.log_dir) / "checkpoints" / "last.ckpt" for t in (whole, again.trainer)]
    one, two = (torch.load(file, weights_only=True) for file in files)
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, two["state_dict"][name]), name
    assert one["global_step"] == two["global_step"]


class Watch(Callback):
    """Keeps the losses, and the names of the parameters that ever had a gradient."""

    def __init__(self, loss: str) -> None:
        self.loss = loss
        self.losses: list[float] = []
        self.touched: set[str] = set()

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = pl_module.named_parameters()
        self.touched |= {n for n, p in found if p.grad is not None}

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.losses.append(float(trainer.callback_metrics[self.loss]))


def subtracted_biases(model: torch.nn.Module) -> set[str]:
    """Biases before BatchNorm: their gradient is a rounding error, too small for SGD to move."""
    found: set[str] = set()
    for prefix, part in model.named_modules():
        layers = [*part.named_children()] if isinstance(part, torch.nn.Sequential) else []
        for (name, layer), (_, following) in itertools.pairwise(layers):
            if isinstance(layer, torch.nn.Linear) and isinstance(following, torch.nn.BatchNorm1d):
                found.add(f"{prefix}.{name}.bias")
    return found


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) if m in LARGE else m for m in SMALL]
)
def test_eight_samples_are_learnt_and_all_that_trains_gets_a_gradient(
    method: str, fit: Any
) -> None:
    sizes = ("--data.batch_size", "8", "--data.validation", "none")
    sizes += RATES.get(method, ("--model.lr", "1e-3"))
    fitted = fit(method, *sizes, "--trainer.limit_train_batches", "1")
    model, data, watch = fitted.model, fitted.datamodule, Watch(FALLING.get(method, "loss"))
    batch = data.normalize(next(iter(data.train_dataloader())))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=80, accelerator="cpu", callbacks=[watch], **quiet)
    trainer.fit(model, DataLoader([batch], batch_size=None))
    if method not in AVERAGED:  # the teacher that moves is what its loss is measured by
        assert np.mean(watch.losses[-10:]) < np.mean(watch.losses[:10])
    assert watch.touched == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, parameter in model.named_parameters():
        if name not in subtracted_biases(model):
            moves = parameter.requires_grad or name.startswith(AVERAGED.get(method, ()))
            assert moves != torch.equal(parameter, before[name]), name


@pytest.mark.slow
@pytest.mark.ddp
@every_method
def test_two_processes_measure_what_their_checkpoint_gives(
    method: str, arguments: Any, tmp_path: Path
) -> None:
    shared = arguments(method, devices=2)
    command("fit", *shared, "--trainer.max_epochs", "1")
    (run,) = (tmp_path / "runs").glob("*/version_0")
    command("test", *shared, "--ckpt_path", str(run))
    (tested,) = run.glob("test/metrics.json")
    two = json.loads(tested.read_text())["metrics"]
    one = main(["test", "--ckpt_path", str(run), "--trainer.devices", "1",
                "--trainer.strategy", "auto", "--data.num_workers", "0"])  # fmt: skip
    for name, value in one.model.results.metrics.items():
        assert value == pytest.approx(two[name], abs=1e-6), name
