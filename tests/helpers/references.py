"""The losses written out slowly, a term at a time, in Python and fp64."""

import itertools
import math

import numpy as np
from scipy.stats import entropy


def unit(row: np.ndarray) -> np.ndarray:
    row = row.astype(np.float64)
    return row / math.sqrt(float((row * row).sum()))


def triplet_reference(a: np.ndarray, p: np.ndarray, n: np.ndarray, margin: float) -> float:
    values = []
    for x, y, z in zip(a, p, n, strict=True):
        gap = (1 - unit(x) @ unit(y)) - (1 - unit(x) @ unit(z))
        values.append(max(0.0, margin + gap))
    return sum(values) / len(values)


def classification_reference(
    images: np.ndarray, bank: np.ndarray, labels: np.ndarray, scale: float
) -> float:
    values = []
    for image, label in zip(images, labels, strict=True):
        logits = [scale * float(unit(image) @ unit(text)) for text in bank]
        top = max(logits)
        log_sum = top + math.log(sum(math.exp(v - top) for v in logits))
        values.append(log_sum - logits[label])
    return sum(values) / len(values)


def divergence_reference(
    delta: np.ndarray, labels: np.ndarray, temperature: float = 1.0, order: str = "as_sampled"
) -> float:
    rows = [[float(d) for d, y in zip(delta, labels, strict=True) if y == c] for c in set(labels)]
    size = min(map(len, rows))
    if len(rows) < 2 or size < 2:
        return 0.0
    rows = [row[:size] for row in rows]
    if order == "sorted":
        rows = [sorted(row) for row in rows]
    weights = [[math.exp(d / temperature) for d in row] for row in rows]
    total = 0.0
    for i, p in enumerate(weights):
        for j, q in enumerate(weights):
            if i != j:
                total += entropy(p, q)  # normalises, and is the KL divergence of p from q
    return total / (len(rows) * (len(rows) - 1))


def hardest_reference(
    sketches: np.ndarray,
    photos: np.ndarray,
    negatives: np.ndarray,
    labels: np.ndarray,
    instances: np.ndarray,
) -> np.ndarray:
    """For each sketch the nearest of its negative and the other photos of its class."""
    rows = []
    for at, (sketch, own) in enumerate(zip(sketches, negatives, strict=True)):
        candidates = [own]
        for other in range(len(photos)):
            if labels[other] == labels[at] and instances[other] != instances[at]:
                candidates.append(photos[other])
        rows.append(max(candidates, key=lambda photo: float(unit(sketch) @ unit(photo))))
    return np.stack(rows)


def shuffle_reference(image: np.ndarray, permutation: list[int], n: int) -> np.ndarray:
    block = image.shape[-1] // n
    result = np.empty_like(image)
    for place, source in enumerate(permutation):
        to, of = divmod(place, n), divmod(source, n)
        for y, x in itertools.product(range(block), repeat=2):
            result[:, to[0] * block + y, to[1] * block + x] = image[
                :, of[0] * block + y, of[1] * block + x
            ]
    return result
