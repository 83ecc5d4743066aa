"""One ranking, scored by every definition in use: the numbers of docs/evaluation.md.

python tools/evaluation_example.py
"""

import numpy as np
import torch

from sketchclip.metrics import chance_average_precision, retrieval_scores

CLASSES, PHOTOS, QUERIES, WIDTH = 21, 500, 50, 64


def main() -> None:
    """Print the table."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    sides = []
    for count, spread in ((QUERIES, 1.5), (PHOTOS, 2.4)):
        labels = torch.arange(CLASSES).repeat_interleave(count)
        noise = torch.randn(len(labels), WIDTH, generator=generator)
        sides += [centres[labels] + spread * noise, labels]
    found = {n: float(v.mean()) for n, v in retrieval_scores(*sides, (100, 200), (200,)).items()}
    score = torch.nn.functional.normalize(sides[0]) @ torch.nn.functional.normalize(sides[2]).T
    order = score.argsort(dim=1, descending=True, stable=True)
    at_201 = (sides[3][order[:, 200]] == sides[1]).float().mean()
    gallery = CLASSES * PHOTOS
    rows = {
        "mAP@200 strict": found["mAP@200"],
        "mAP@200 voc": found["mAP@200_voc"],
        "mAP@200 prefix": found["mAP@200_prefix"],
        "mAP@all": found["mAP@all"],
        "P@200": found["P@200"],
        "relevance at rank 201 alone": float(at_201),
        "chance, mAP@all": chance_average_precision(PHOTOS, gallery),
        "chance, P@k": PHOTOS / gallery,
    }
    print(f"{CLASSES} classes, {PHOTOS} photos and {QUERIES} sketches each, simulated\n")
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {np.round(value, 3):.3f} |")


if __name__ == "__main__":
    main()
