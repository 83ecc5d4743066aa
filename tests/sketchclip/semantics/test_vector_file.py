"""Files of word vectors in every format, whole and damaged."""

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchclip.errors import SketchClipError
from sketchclip.semantics import WordVectorFile, vector_file
from sketchclip.semantics.vector_file import find_vectors, vector_size
from sketchclip.semantics.word_vectors import class_vectors

FORMATS = ("text", "headed text", "binary", "binary lines")
WORDS = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=6
)
VECTORS = hnp.arrays(
    np.float32, 3, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
).filter(np.any)


def encode(vectors: Mapping[str, Sequence[float]], kind: str) -> bytes:
    size = len(next(iter(vectors.values())))
    head = f"{len(vectors)} {size}\n".encode()
    if kind.startswith("binary"):
        end = b"\n" * kind.endswith("lines")
        rows = [w.encode() + b" " + struct.pack(f"<{size}f", *v) + end for w, v in vectors.items()]
        return head + b"".join(rows)
    text = "".join(f"{w} {' '.join(str(float(x)) for x in v)}\n" for w, v in vectors.items())
    return head * kind.startswith("headed") + text.encode()


@pytest.fixture
def write(tmp_path):
    def inner(content: bytes) -> Path:
        path = tmp_path / "vectors.any"  # the ending says nothing
        path.write_bytes(content)
        return path

    return inner


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(WORDS, VECTORS, min_size=1, max_size=40),
    st.sampled_from(FORMATS),
    st.booleans(),
    st.sampled_from([100, 128, 333, 1 << 20]),
    st.data(),
)
def test_every_format_gives_back_the_vectors_that_are_wanted(
    tmp_path_factory, vectors, kind, packed, block, data
):
    content = encode(vectors, kind)
    path = tmp_path_factory.getbasetemp() / "round_trip"
    path.write_bytes(gzip.compress(content) if packed else content)
    wanted = data.draw(st.lists(st.sampled_from([*vectors]), unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_file, "_BLOCK", block)
        assert vector_size(path) == 3
        found = dict(find_vectors(path, [*wanted, "not there"]))
    assert [*found] == [word for word in vectors if word in wanted]  # in the file's order
    for word in wanted:
        assert found[word].dtype == np.float32
        assert np.array_equal(found[word], vectors[word])


CAT = b"cat " + struct.pack("<2f", 3, 4)
DOG = b"dog " + struct.pack("<2f", -2, 0)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_binary_as_word2vec_writes_it(write, end):
    path = write(b"2 2\n" + CAT + end + DOG + end)
    found = WordVectorFile(str(path)).vectors(["dog", "cat", "dog"])
    assert found.tolist() == [[-1, 0], pytest.approx([0.6, 0.8]), [-1, 0]]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_first_vector_of_a_word_counts_and_zeros_do_not(write, kind):
    rows = encode({"cat": [3, 4], "dog": [0, 0], "DOG": [5, 0], "rat": [0, -2]}, kind)
    found = class_vectors(write(rows.replace(b"rat", b"cat")), ["cat", "DOG"])
    assert found.tolist() == [pytest.approx([0.6, 0.8]), [1, 0]]


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("eiffel_tower", {"Eiffel_Tower": [0, 1], "eiffel": [1, 0], "tower": [1, 0]}, [0, 1]),
        ("Eiffel Tower", {"Eiffel_Tower": [0, 1], "eiffel_tower": [1, 0]}, [1, 0]),
        ("iPod", {"iPod": [0, 1], "Ipod": [1, 0]}, [0, 1]),
        ("iPod", {"iPod": [0, 1], "ipod": [1, 0]}, [1, 0]),
        ("hot-air balloon", {"hot": [1, 0], "Air": [1, 0], "Hot-air_balloon": [1, 0]}, None),
        ("hot-air balloon", {"Balloon": [0, 2], "Hot-Air": [4, 0]}, [0.5**0.5, 0.5**0.5]),
    ],
)
def test_lower_case_comes_first_and_then_the_name_as_written(write, name, words, expected):
    path = write(encode(words, "binary"))
    if expected is None:
        with pytest.raises(SketchClipError, match=r"no vectors for 1 of 1.*balloon \(air, balloon"):
            class_vectors(path, [name])
    else:
        assert class_vectors(path, [name])[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("packed", [False, True])
def test_reading_ends_where_no_better_spelling_can_follow(write, packed, monkeypatch):
    monkeypatch.setattr(vector_file, "_BLOCK", 64)
    rest = b"".join(b"%d " % number + bytes(8) for number in range(2000))
    whole = b"2002 2\n" + CAT + DOG + rest
    cut = gzip.compress(whole)[:-9] if packed else whole[:-9]
    path = write(cut)
    assert class_vectors(path, ["dog", "cat"]).shape == (2, 2)
    # "Cat" is a spelling of the second choice: "cat dog" could still follow in one piece.
    with pytest.raises(SketchClipError, match=r"vectors\.any"):
        class_vectors(path, ["dog", "cat_dog"])


def test_the_whole_name_behind_its_words_is_found(write):
    vectors = {"ice": [1, 0], "cream": [1, 0], "cake": [1, 0], "ice-cream": [0, 1]}
    assert class_vectors(write(encode(vectors, "binary")), ["ice cream"]).tolist() == [[0, 1]]


BINARY = encode({f"w{number}": [number, 1.5] for number in range(300)} | {"dog": [1, 2]}, "binary")
TEXT = encode({"cat": [1, 2], "dog": [1, 2], "fox": [3.25, 4]}, "headed text")
PACKED = gzip.compress(BINARY)
DAMAGED = {
    "binary, cut in a vector": (BINARY[:-3], "after 300 of 301 words"),
    "binary, cut in a word": (BINARY[:-10], "after 300 of 301 words"),
    "binary, fewer words": (BINARY[: -len(DOG)], "after 300 of 301 words"),
    "binary, not a number": (b"1 2\ndog " + struct.pack("<2f", 1, np.nan), "'dog' is not finite"),
    "binary, infinite": (b"1 2\ndog " + struct.pack("<2f", 1, -np.inf), "'dog' is not finite"),
    "binary, words without end": (b"2 2\n" + b"\0" * 20_000 + DOG, "word 1 has more than"),
    "binary, one word": (b"2 2\n" + b"\0" * 20_000, "word 1 has more than"),
    "header of another file": (b"2 999999999\n" + DOG, "promises 999999999 numbers"),
    "header without numbers": (b"2 0\n\n", "promises 0 numbers"),
    "header alone": (b"2 2\n", "nothing follows"),
    "nothing": (b"", "no word and numbers"),
    "text, fewer lines": (TEXT[: TEXT.index(b"fox")], "after 2 of 3 words"),
    "text, last line cut": (TEXT[:-5], "line of 'fox': expected 2 numbers, found 1"),
    "text, other length": (TEXT.replace(b"3 2", b"3 3"), "promises 3 numbers a word, the next"),
    "text, a line too short": (TEXT.replace(b"dog 1.0", b"dog"), "'dog': expected 2 numbers"),
    "text, a line too long": (TEXT.replace(b"dog", b"dog 7"), "'dog': expected 2 numbers, found 3"),
    "text, no number": (TEXT.replace(b"dog 1.0", b"dog x"), "line of 'dog': could not convert"),
    "text, no lines": (b"cat 1 2\n" + b"x" * 3_000_000, "a line of more than"),
    "text, not a number": (TEXT.replace(b"dog 1.0", b"dog nan"), "'dog' is not finite"),
    "gzip, cut": (PACKED[:-20], "EOFError"),
    "gzip, changed": (PACKED[:-6] + b"\0\0\0\0\0\0", "CRC"),
    "gzip, no data": (b"\x1f\x8b and something else", "BadGzipFile"),
    "other": (b"PK\x03\x04\xff\xfe\x00", "UnicodeDecodeError"),
}


@pytest.mark.parametrize(("content", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_in_one_message(write, content, says, monkeypatch):
    monkeypatch.setattr(vector_file, "_BLOCK", 1 << 16)
    with pytest.raises(SketchClipError) as caught:
        WordVectorFile(str(write(content))).vectors(["zebra", "dog"])
    message = str(caught.value)
    assert "vectors.any: expected word vectors" in message
    assert says in message
    for advice in ("Download the file again", "--model.semantics.path", "--model.text_head.path"):
        assert advice in message


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_missing_is_named_with_both_options(write, kind):
    path = write(encode({"cat": [1, 2]}, kind))
    with pytest.raises(SketchClipError) as caught:
        class_vectors(path, ["cat", "Race car"])
    message = str(caught.value)
    assert f"{path} has no vectors for 1 of 2 classes: Race car (race, car)." in message
    assert "--model.semantics.path or --model.text_head.path" in message


def test_words_with_spaces_are_passed_over(write):
    path = write(b"at 1 2\n. . . 3 4\ncat name@domain.com 5 6\ncat 0 7\n. end 1 1\n")
    assert class_vectors(path, ["cat"]).tolist() == [[0, 1]]


@pytest.mark.parametrize("path", ["none.bin", "."])
def test_a_path_without_a_file_is_refused(tmp_path, path):
    with pytest.raises(SketchClipError, match=r"expected word vectors.*Error"):
        vector_size(tmp_path / path)
