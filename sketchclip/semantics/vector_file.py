"""Files of word vectors, read in blocks: GloVe, fastText, word2vec's text and binary format."""

import gzip
import re
import zlib
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from rich.progress import open as open_with_progress

from sketchclip.errors import SketchClipError, first_line

ANOTHER = (
    "name another file in the option that names this one (such as --model.semantics.path or "
    "--model.text_head.path)"
)
"""Advice of every message: heads, losses and hierarchies read such files, each by its option."""

_BLOCK = 1 << 22  # bytes
# Beyond these, bytes are taken for damage and not for a word or a vector.
_LONGEST_WORD, _LONGEST_LINE, _MOST_NUMBERS = 10_000, 1 << 20, 50_000
_HEADER = re.compile(rb"\s*(\d+)\s+(\d+)\s*")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class _Layout:
    """What the first lines of a file say: numbers of a vector, words if known, start of words."""

    size: int
    count: int | None
    binary: bool
    start: int


def vector_size(path: Path) -> int:
    """Numbers of each vector in a file, by its first lines.

    Raises:
        SketchClipError: If it is no file of word vectors.
    """
    with _opened(path, show=False) as file:
        return _layout(_fill(file, b"")).size


def find_vectors(
    path: Path, wanted: Collection[str]
) -> Generator[tuple[str, np.ndarray], None, None]:
    """Wanted words of a file and their vectors, fp32, (V,), in the file's order.

    The format is known by the content: text has a word and its numbers in each line, with or
    without a first line "words numbers"; in word2vec's binary format each word of such a file is
    followed by a space and its numbers as little-endian fp32. Either may be compressed by gzip.
    Memory holds one block; a reader who has enough may close the iterator. Of a word that occurs
    twice the first vector counts, and one of zeros is left out.

    Raises:
        SketchClipError: If the file is of another format, damaged or truncated.
    """
    keys = {word.encode(): word for word in wanted}
    with _opened(path, show=True) as file:
        head = _fill(file, b"")
        layout = _layout(head)
        read = _read_binary if layout.binary else _read_text
        for key, vector in read(file, head[layout.start :], layout, keys.keys()):
            word = keys.pop(key)  # no longer wanted
            if not np.isfinite(vector).all():
                raise ValueError(f"the vector of '{word}' is not finite")
            if vector.any():
                yield word, vector


@contextmanager
def _opened(path: Path, show: bool) -> Iterator[IO[bytes]]:
    """Open a file, unpacked where it is compressed; its errors become one message."""
    try:
        with open_with_progress(path, "rb", description="Word vectors", disable=not show) as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[misc]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SketchClipError(
            f"{path}: expected word vectors of GloVe, word2vec or fastText, a word and its numbers "
            "in each line or word2vec's binary format, as they are or as .gz. Found: "
            f"{type(error).__name__}, {first_line(error)}. Download the file again if it is "
            f"incomplete, or {ANOTHER}."
        ) from error


def _fill(file: IO[bytes], rest: bytes) -> bytes:
    """The next block behind what is left of the last one; the same at the end of the file."""
    return rest + file.read(_BLOCK)


def _layout(head: bytes) -> _Layout:
    first, _, behind = head.partition(b"\n")
    header = _HEADER.fullmatch(first)
    if header is None:
        return _Layout(size=_numbers(first), count=None, binary=False, start=0)
    count, size = int(header[1]), int(header[2])
    if not 0 < size <= _MOST_NUMBERS:
        raise ValueError(f"the first line promises {size} numbers a word")
    if not behind:
        raise ValueError("nothing follows the first line")
    try:
        found = _numbers(behind.partition(b"\n")[0])
    except ValueError:
        return _Layout(size, count, binary=True, start=len(first) + 1)
    if found != size:
        raise ValueError(f"the first line promises {size} numbers a word, the next has {found}")
    return _Layout(size, count, binary=False, start=len(first) + 1)


def _numbers(line: bytes) -> int:
    """Count the numbers behind the word of a line."""
    line.decode("utf-8")
    numbers = [float(number) for number in line.split()[1:]]
    if not numbers:
        raise ValueError("no word and numbers in its first lines")
    return len(numbers)


def _read_text(
    file: IO[bytes], buffer: bytes, layout: _Layout, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, np.ndarray]]:
    words, line = 0, b""
    while buffer:
        *lines, rest = buffer.split(b"\n")
        buffer = _fill(file, rest)
        if len(buffer) == len(rest):  # the end; its last line may lack the line break
            lines, buffer = [*lines, rest], b""
        if len(rest) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE:,} bytes")
        for line in filter(bytes.strip, lines):
            words += 1
            word = line[: max(line.find(b" "), 0)]
            if word in wanted and (vector := _parse(line, layout.size)) is not None:
                yield word, vector
    if layout.count is not None and words < layout.count:
        raise ValueError(f"the file ends after {words:,} of {layout.count:,} words")
    _parse(line, layout.size)


def _parse(line: bytes, size: int) -> np.ndarray | None:
    """Vector of a line; None where the word itself has spaces, as a few of GloVe's have."""
    first, *fields = line.split()
    word = first.decode("utf-8", "replace")
    try:
        vector = np.array([float(field) for field in fields], dtype=np.float32)
    except ValueError as error:
        if len(fields) > size:
            return None
        raise ValueError(f"line of '{word}': {error}") from None
    if len(vector) != size:
        raise ValueError(f"line of '{word}': expected {size} numbers, found {len(vector)}")
    return vector


def _read_binary(
    file: IO[bytes], buffer: bytes, layout: _Layout, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, np.ndarray]]:
    assert layout.count is not None  # by the format
    width, at = 4 * layout.size, 0
    for number in range(layout.count):
        while (space := buffer.find(b" ", at)) < 0 or space + 1 + width > len(buffer):
            rest = buffer[at:]
            if space < 0 and len(rest) > _LONGEST_WORD:
                break
            buffer, at = _fill(file, rest), 0
            if len(buffer) == len(rest):
                raise ValueError(f"the file ends after {number:,} of {layout.count:,} words")
        if not 0 <= space - at <= _LONGEST_WORD:
            raise ValueError(f"word {number + 1:,} has more than {_LONGEST_WORD:,} letters")
        word = buffer[at:space].lstrip(b"\n")  # a line break may follow each vector
        if word in wanted:
            yield word, np.frombuffer(buffer, "<f4", layout.size, space + 1).astype(np.float32)
        at = space + 1 + width
