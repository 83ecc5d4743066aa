"""ZSE-SBIR: what its equations say of equal images, equal scores and permuted patches."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data_modules.batch import TrainingBatch
from sketchclip.cli import main
from sketchclip.clip import CLIPImageEncoder
from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods import ZSESBIR, ZSESBIRFineGrained
from sketchclip.metrics import TwoStages
from sketchclip.nn.cross import CrossAttention, PatchGrid, RelationHead, cosine_matrix

SMALL: dict[str, Any] = {"hidden": 32, "relation_dim": 16}


def method(**options: Any) -> ZSESBIR:
    torch.manual_seed(0)
    encoder = TimmEncoder("test_vit", "random", size=64)
    return ZSESBIR(encoder, **{**SMALL, **options}).eval()


def images(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def same_weights(swap: Any = "keys") -> CrossAttention:
    torch.manual_seed(0)
    cross = CrossAttention(16, heads=4, hidden=8, swap=swap).double().eval()
    cross.photo.load_state_dict(cross.sketch.state_dict())
    return cross


def tokens(seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(2, 17, 16, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("swap", ["keys", "queries"])
def test_with_equal_weights_both_directions_are_one(swap: str) -> None:
    cross, a, b = same_weights(swap), tokens(1), tokens(2)
    (one, two), (four, three) = cross(a, b), cross(b, a)
    assert torch.equal(one, three)
    assert torch.equal(two, four)
    assert not torch.allclose(one, two)


def test_what_permuted_patches_of_the_photo_do_to_the_sketch() -> None:
    a, b = tokens(1), tokens(2)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    keys, queries = (same_weights(swap).sketch for swap in ("keys", "queries"))
    plain, permuted = (keys.attend(a, x) for x in (b, b[:, order]))
    assert not torch.allclose(permuted, plain)  # values are read at the photo's positions
    assert not torch.allclose(permuted, plain[:, order])
    torch.testing.assert_close(queries.attend(a, b[:, order]), queries.attend(a, b)[:, order])


def test_one_image_on_both_sides_has_a_symmetric_matrix_with_ones() -> None:
    cross, a = same_weights(), tokens(1)
    grid = PatchGrid(16, 16, 8).double()
    sketch, photo = (grid(c[:, 1:]) for c in cross(a, a))
    cosines = cosine_matrix(sketch, photo)
    torch.testing.assert_close(cosines.diagonal(dim1=1, dim2=2), torch.ones(2, 4).double())
    torch.testing.assert_close(cosines, cosines.transpose(1, 2))


def test_equal_distances_and_a_constant_relation_have_the_loss_of_a_start() -> None:
    model, logs = method(), {}
    model.log_losses = lambda losses, batch_size: logs.update(losses)  # type: ignore[method-assign]
    nn.init.zeros_(model.relation.layers[-1].weight)
    nn.init.zeros_(model.relation.layers[-1].bias)
    sketch, photo = images(3), images(3, 2)
    batch = TrainingBatch(sketch, photo, photo, torch.arange(3), second_sketch=sketch)
    loss = model.training_step(batch, 0)
    assert logs["train/triplet"].item() == pytest.approx(1)
    assert logs["train/relation"].item() == pytest.approx(0.2401)
    assert loss.item() == pytest.approx(2 + 0.9604)


def test_each_part_has_the_size_of_the_released_code() -> None:
    def size(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    cross = CrossAttention(768)
    assert size(cross.sketch) == size(cross.photo) == 3_940_096
    grid = PatchGrid(768, 196, 512)
    assert (size(grid), grid.count) == (1_573_376, 49)
    assert size(RelationHead(49)) == 840_792


def test_the_mini_has_nine_joined_tokens() -> None:
    model = ZSESBIR(CLIPImageEncoder("sketchclip-mini"), hidden=8, relation_dim=8)
    sizes = [layer.in_features for layer in model.relation.layers if isinstance(layer, nn.Linear)]
    assert sizes == [81, 27, 9]


def test_ret_is_the_class_token_before_the_attention_and_rn_the_logit_of_each_pair() -> None:
    ret, rn = method(), method(retrieval="rn", shortlist=3)
    sketches, photos = images(2), images(5, 2)
    with torch.no_grad():
        embedded = ret.embed(photos, "photo")
        assert torch.equal(ret.gallery_state(photos), embedded)
        assert ret.ranking is None
        queries, gallery = rn.query_state(sketches), rn.gallery_state(photos)
        assert gallery.dtype == torch.float16
        torch.testing.assert_close(rn.vector(gallery).float(), embedded, atol=1e-2, rtol=1e-2)
        scores = rn.score(queries, gallery)
        for i in range(2):
            for j in range(5):
                pair = rn.cross(queries[i : i + 1].float(), gallery[j : j + 1].float())
                torch.testing.assert_close(scores[i, j], rn.relate(*pair)[0])
        assert scores.unique().numel() == 10
        ranking = rn.ranking
        assert isinstance(ranking, TwoStages)
        assert (ranking.describe(5), ranking.describe(3)) == ("rn@3", "rn, all pairs scored")
        whole = TwoStages(rn.score, rn.vector).ranks(queries, gallery)
        assert whole.argsort(1).tolist() == scores.argsort(1, descending=True).tolist()
        nearest = ranking.ranks(queries, gallery).argsort(1)
        assert nearest.tolist() != whole.argsort(1).tolist()


def test_the_fine_grained_form_has_triplets_of_instances() -> None:
    model = ZSESBIRFineGrained(TimmEncoder("test_vit", "random", size=64), **SMALL)
    spec = model.batch_spec
    assert (spec.pairing, spec.second_sketch) == ("instance_triplet", "same_class")
    assert model.headline == "Acc@1"


@pytest.mark.slow
def test_a_run_validated_by_ret_is_tested_by_rn(tree: Path, tmp_path: Path) -> None:
    options = [
        *("--model", "ZSESBIR", "--model.hidden", "32", "--model.relation_dim", "16"),
        *("--model.encoder.name", "test_vit", "--model.encoder.pretrained", "random"),
        *("--model.encoder.size", "64", "--data", "SketchPhotoFolder", "--data.root", str(tree)),
        *("--data.split", "random:2:0", "--data.num_workers", "0", "--data.batch_size", "6"),
        *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--grids.queries", "0"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path)),
    ]
    run = Path(main(["fit", *options]).trainer.log_dir)
    whole = ("--model.retrieval", "rn", "--model.shortlist", "0")
    for flags, expected in (((), None), (whole, "rn, all pairs scored")):
        config = ("--config", str(run / "config.yaml"), "--ckpt_path", str(run))
        tested = main(["test", *config, *flags])
        (file,) = Path(tested.trainer.log_dir).rglob("metrics.json")
        assert json.loads(file.read_text("utf-8")).get("ranking") == expected
        assert tested.model.results.ranking == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"heads": 7}, "heads=7: expected a divisor of the 64 numbers"),
        ({"shortlist": -1}, "shortlist of ZSESBIR: expected at least 0, found -1"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SketchClipError, match=told):
        method(**options)


def test_encoders_without_enough_patches_are_refused() -> None:
    with pytest.raises(SketchClipError, match="TimmEncoder has no patch tokens"):
        ZSESBIR(TimmEncoder("test_resnet", "random", size=64))
    with pytest.raises(SketchClipError, match="1 patch tokens: expected those of a square grid"):
        ZSESBIR(TimmEncoder("test_vit", "random", size=16))
