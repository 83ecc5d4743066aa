"""Uncertainty of metrics: bootstrap intervals over queries, and a paired test between two runs.

Both hold for the sampled queries, given these classes and one training run. Variation between seeds
or splits needs several runs.
"""

import numpy as np


def bootstrap_interval(
    values: np.ndarray, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over queries.

    Args:
        values: One value a query, finite, shape (Q,).
        level: Coverage, in (0, 1).
        resamples: Samples of Q queries with replacement.
        seed: Seed of the samples.

    Returns:
        Lower and upper end.

    >>> low, high = bootstrap_interval(np.arange(101) / 100)
    >>> low < 0.5 < high, round(high - low, 2)
    (True, 0.11)
    """
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    from scipy import stats  # takes most of a second, and tables do without

    interval = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, 10_000_000 // len(values)),  # 80 MB of resampled values at a time
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def harmonic_interval(
    unseen: np.ndarray,
    seen: np.ndarray,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the harmonic mean of two means over queries.

    Args:
        unseen: One value a query of unseen classes, finite, shape (Q,).
        seen: One a query of seen classes, shape (S,); resampled apart from the others.
        level: Coverage, in (0, 1).
        resamples: Samples of each kind with replacement.
        seed: Seed of the samples.

    Returns:
        Lower and upper end.

    >>> harmonic_interval(np.full(5, 0.3), np.full(7, 0.6))
    (0.4, 0.4)
    """
    rng = np.random.default_rng(seed)
    u, s = (
        np.array(
            [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
        )
        for values in (unseen, seen)
    )
    total = u + s
    h = np.divide(2 * u * s, total, out=np.zeros_like(total), where=total > 0)
    low, high = np.quantile(h, [(1 - level) / 2, (1 + level) / 2])
    return round(float(low), 12), round(float(high), 12)


def paired_test(a: np.ndarray, b: np.ndarray, resamples: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value of the mean difference between two runs on the same queries.

    Under the null hypothesis the two values of a query could as well be exchanged: signs of the
    differences are flipped at random (Fisher's paired permutation test). The definition is that of
    ``scipy.stats.permutation_test(permutation_type="samples")``, which takes 12 times as long for
    12,694 queries: 3.6 s instead of 0.3 s a metric.

    Args:
        a: One value a query, shape (Q,).
        b: The other run's values, the same queries in the same order.
        resamples: Random flips.
        seed: Seed of the flips.

    Returns:
        p in (0, 1]; the smallest possible value is 1 / (resamples + 1).

    Raises:
        ValueError: If the shapes differ or a value is NaN or infinite.

    >>> paired_test(np.arange(50) / 50, np.arange(50) / 50)
    1.0
    >>> paired_test(np.arange(50) / 50 + .1, np.arange(50) / 50) < 0.001
    True
    """
    if a.shape != b.shape:
        raise ValueError(f"expected values of the same queries, found {a.shape} and {b.shape}")
    difference = np.asarray(a, dtype=np.float64) - b
    if not np.isfinite(difference).all():
        odd = int(np.flatnonzero(~np.isfinite(difference))[0])
        raise ValueError(f"expected finite values, found NaN or infinity at query {odd}")
    observed = abs(difference.sum())
    # A flip that undoes itself must count as equal in spite of rounding.
    rounding = 1e-9 * np.abs(difference).sum()
    generator = np.random.default_rng(seed)
    batch = max(1, 10_000_000 // max(1, len(difference)))
    extreme = 0
    for start in range(0, resamples, batch):
        shape = min(batch, resamples - start), len(difference)
        signs = generator.integers(0, 2, shape, dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ difference) >= observed - rounding).sum())
    return (extreme + 1) / (resamples + 1)
