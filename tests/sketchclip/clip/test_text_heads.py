"""Text heads: what they give for class names, what trains, and what checkpoints hold."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from sketchclip.clip.text_heads import LearnedContext, TemplateText, WordVectors
from sketchclip.errors import SketchClipError
from sketchclip.methods import ZeroShotPromptLearning
from sketchclip.semantics.word_vectors import class_vectors
from tests.conftest import COLOURS, SHAPES

NAMES = ["cat", "hot-air_balloon", "car_(sedan)"]
SENTENCES = ["a photo of a cat", "a photo of a hot-air balloon", "a photo of a car (sedan)"]


@pytest.fixture
def clip(make_clip):
    return make_clip("tiny").requires_grad_(False)


def read(clip, sentences: list[str]) -> torch.Tensor:
    return clip.encode_text(open_clip.get_tokenizer("tiny")(sentences))


@pytest.mark.parametrize("template", ["a photo of a {}", "a sketch of one {}."])
def test_template_text_is_encode_text_of_the_sentences(clip, template):
    head = TemplateText(template) if "photo" not in template else TemplateText()
    head.build(clip)
    head.prepare(clip, "tiny", NAMES)
    sentences = [template.format(s.removeprefix("a photo of a ")) for s in SENTENCES]
    torch.testing.assert_close(head(clip), F.normalize(read(clip, sentences), dim=-1))
    assert not [*head.parameters()]
    assert not head.state_dict()


@pytest.mark.parametrize("words", ["a photo of a", "sketch of"])
def test_learned_context_reads_its_vectors_as_words(clip, words):
    """With the embeddings of real words, it is the sentence of these words."""
    head = LearnedContext(n_context=len(words.split()))
    head.build(clip)
    head.prepare(clip, "tiny", NAMES)
    ids = open_clip.get_tokenizer("tiny")([words])[0, 1 : 1 + head.n_context]
    with torch.no_grad():
        drawn = head(clip)
        head.context.copy_(clip.token_embedding.weight[ids])
        spoken = [s.removeprefix("a photo of a ") for s in SENTENCES]
        expected = read(clip, [f"{words} {name}." for name in spoken])
        torch.testing.assert_close(head(clip), expected)
        assert not torch.allclose(drawn, expected, atol=1e-3)


def test_gradients_reach_the_context_alone(clip):
    head = LearnedContext()
    head.build(clip)
    head.prepare(clip, "tiny", NAMES)
    assert head.context.shape == (4, 32)
    head(clip)[:, 0].sum().backward()
    assert (head.context.grad != 0).any(1).all()
    assert all(p.grad is None for p in clip.parameters())
    assert {n for n, _ in head.named_parameters()} == {"context"}


def test_the_text_encoder_is_left_as_it_was(clip):
    head = LearnedContext()
    head.build(clip)
    head.prepare(clip, "tiny", NAMES)
    before = read(clip, SENTENCES)
    head(clip)
    head.tokens = head.tokens[:, :7]  # too short: the text encoder has 16 positions
    head.context = torch.nn.Parameter(torch.zeros(4, 31))  # and this is of another width
    with pytest.raises(RuntimeError):
        head(clip)
    assert not clip.token_embedding._forward_hooks
    assert torch.equal(read(clip, SENTENCES), before)


# Word vectors

VECTORS = {"cat": [3, 4], "hot": [1, 0], "air": [0, 2], "balloon": [0, -5], "car": [1, 1]}
VECTORS |= {"sedan": [-1, 1], "Cat": [7, 7], "hot-air": [0, 9]}


def write(path: Path, header: bool = False, left_out: tuple[str, ...] = ()) -> Path:
    kept = {word: v for word, v in VECTORS.items() if word not in left_out}
    lines = [f"{len(kept)} 2"] if header else []
    lines += [f"{word} {' '.join(f'{x:.3f}' for x in v)}" for word, v in kept.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("header", [False, True])
def test_vectors_of_names_of_several_words(tmp_path, header):
    found = class_vectors(write(tmp_path / "v.txt", header), NAMES).numpy()
    assert found.dtype == np.float32
    assert found[0] == pytest.approx([0.6, 0.8])
    assert found[2] == pytest.approx([0, 1])  # (1, 1) and (-1, 1)
    split = class_vectors(write(tmp_path / "v.txt", header, ("hot-air",)), NAMES[1:2]).numpy()
    assert split[0] == pytest.approx([1, 0])  # hot, air and balloon; the last two cancel out


def test_the_name_in_one_piece_comes_first(tmp_path):
    path = write(tmp_path / "v.txt")
    with path.open("a") as file:
        file.write("hot-air_balloon 0.6 -0.8\n")
    assert class_vectors(path, NAMES[1:2])[0].tolist() == pytest.approx([0.6, -0.8])


def test_words_that_are_missing_are_named(tmp_path):
    path = write(tmp_path / "v.txt", left_out=("sedan", "hot-air", "air"))
    with pytest.raises(SketchClipError) as caught:
        class_vectors(path, NAMES)
    message = str(caught.value)
    assert "no vectors for 2 of 3 classes" in message
    assert "hot-air_balloon (air); car_(sedan) (sedan)" in message


FOREIGN = {
    "empty": b"",
    "no numbers": b"cat one two\n",
    "binary": b"\xff\xfe\x00\x01",
    "binary behind a header": b"2 2\ncat 1 2\n" + b"x 0 0\n" * 9999 + b"\xff\xfe\n",
    "header alone": b"2 3\n",
    "a word for a number": b"cat 1 2\ndog 1 x\n",
    "a number less": b"cat 1 2\ndog 1\n",
    "other length than the first": b"fox 1 2\ncat 1 2 3\ndog 1 2 3\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_format_is_refused(tmp_path, content):
    path = tmp_path / "v.bin"
    path.write_bytes(content)
    with pytest.raises(SketchClipError, match=r"v\.bin"):
        class_vectors(path, ["cat", "dog"])


def test_a_missing_file_is_refused(clip, tmp_path):
    with pytest.raises(SketchClipError, match=r"none\.txt.*a word and its"):
        WordVectors(str(tmp_path / "none.txt")).build(clip)


def test_word_vectors_are_projected_and_normalised(clip, tmp_path):
    head = WordVectors(str(write(tmp_path / "v.txt", left_out=("hot-air",))))
    head.build(clip)
    head.prepare(clip, "tiny", NAMES)
    layer = head.projection
    vectors = torch.tensor([[0.6, 0.8], [1, 0], [0, 1]])
    rows = torch.stack([layer.weight @ v + layer.bias for v in vectors])
    torch.testing.assert_close(head(clip), rows / rows.norm(dim=1, keepdim=True))
    head(clip)[:, 0].sum().backward()
    assert all(p.grad.any() for p in head.parameters())
    assert sum(p.numel() for p in head.parameters()) == (2 + 1) * 32


# In methods


@pytest.mark.parametrize("kind", ["TemplateText", "LearnedContext", "WordVectors"])
def test_checkpoints_and_tests_know_no_class(kind, run, tmp_path, monkeypatch):
    options = ["--model.text_head", kind]
    if kind == "WordVectors":
        rng = np.random.default_rng(0)
        words = {word: rng.normal(size=5) for word in (*COLOURS, *SHAPES)}
        text = "".join(f"{w} {' '.join(map(str, v))}\n" for w, v in words.items())
        (tmp_path / "words.txt").write_text(text)
        options += ["--model.text_head.path", str(tmp_path / "words.txt")]
    fitted = run("fit", *options, "--trainer.max_epochs", "1", "--model.prompt_lr", "1e-2")
    path = Path(fitted.trainer.log_dir) / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    expected = {
        "TemplateText": {},
        "LearnedContext": {"context": (4, 32)},
        "WordVectors": {"projection.weight": (32, 5), "projection.bias": (32,)},
    }[kind]
    held = {n: tuple(t.shape) for n, t in checkpoint["state_dict"].items() if "text" in n}
    assert held == {f"text_head.{name}": shape for name, shape in expected.items()}
    assert fitted.model.text_bank().shape == (4, 32)
    names = " ".join(map(str, checkpoint["state_dict"]))
    assert not any(name in names for name in fitted.datamodule.class_names)

    resumed = {}

    def note(module) -> None:
        resumed.update({n: p.clone() for n, p in module.text_head.named_parameters()})

    monkeypatch.setattr(ZeroShotPromptLearning, "on_train_start", note)
    again = ("--trainer.max_epochs", "2", "--model.prompt_lr", "1e-2", "--ckpt_path", path)
    run("fit", *options, *again)
    for name in expected:
        assert torch.equal(resumed[name], checkpoint["state_dict"][f"text_head.{name}"])

    def refuse(*_: object) -> None:
        raise AssertionError("a test asked for class names")

    monkeypatch.setattr(f"sketchclip.clip.text_heads.{kind}.prepare", refuse)
    tested = run("test", *options, "--model.prompt_lr", "1e-2", "--ckpt_path", path)
    assert not [*tested.model.text_head.parameters()]  # retrieval does without
