"""Bootstrap intervals and the paired test against their definitions and against simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sketchclip.runs.uncertainty import bootstrap_interval, paired_test


def test_interval_equals_an_independent_bootstrap():
    values = np.random.default_rng(0).beta(0.5, 0.3, 200)  # U-shaped, as AP often is
    rng = np.random.default_rng(99)
    means = [values[rng.integers(0, 200, 200)].mean() for _ in range(20000)]
    found = bootstrap_interval(values, 0.9, 20000)
    # The error of a percentile of 20,000 draws is about 2 % of the interval.
    assert found == pytest.approx(np.percentile(means, [5, 95]), abs=0.03 * np.ptp(found))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_interval_of_many_queries_is_the_normal_one(level):
    values = np.random.default_rng(1).uniform(size=2000)
    half = stats.norm.ppf(0.5 + level / 2) * values.std() / np.sqrt(2000)
    expected = values.mean() - half, values.mean() + half
    assert bootstrap_interval(values, level, 4000) == pytest.approx(expected, abs=0.12 * half)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(rng.beta(2, 3, 80), 0.9, 400, seed=trial)
        hits += low <= 0.4 <= high
    # Standard error 1.7 %; a percentile interval of 80 values covers a little less than it says.
    assert 0.84 <= hits / 300 <= 0.95


def test_interval_depends_on_the_seed_alone():
    values = np.random.default_rng(3).uniform(size=50)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)


def test_interval_of_values_without_any_spread():
    assert bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25)
    assert bootstrap_interval(np.array([0.5])) == (0.5, 0.5)


def exact(difference):
    """Share of all sign flips that reach the observed sum."""
    flips = itertools.product([-1, 1], repeat=len(difference))
    # Integers, so that equal sums are equal.
    sums = [abs(sum(s * d for s, d in zip(signs, difference, strict=True))) for signs in flips]
    return np.mean([s >= abs(sum(difference)) for s in sums])


@pytest.mark.parametrize(
    "difference",
    [
        [1],
        [3, 1],
        [1, 2, -3],  # no difference in the mean, though in binary tenths it is 5e-17
        [5, 4, 3, -1],
        [7, 7, 7, 7, 7, 7],
        [9, 1, 4, -2, 6, 3, 3, 8],
        [0, 0, 0, 5, 5],
    ],
)
@pytest.mark.parametrize("unit", [1.0, 0.1])
def test_p_of_few_queries_equals_enumeration(difference, unit):
    a = np.array(difference) * unit
    p = exact(difference)
    found = paired_test(a, np.zeros(len(a)), 20000)
    # Four standard errors, and the observed order that counts as a draw.
    assert found == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20000) + 1 / 20000)


@pytest.mark.parametrize("queries", [12, 300])
def test_p_is_that_of_scipy(queries):
    a, b = np.random.default_rng(queries).uniform(size=(2, queries))
    found = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20000,  # exact for 12 queries, whose signs are 4,096
        rng=np.random.default_rng(1),
    )
    # Four standard errors of both.
    assert paired_test(a, b, 20000) == pytest.approx(found.pvalue, abs=0.02)


def test_p_is_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(4)
    p = [paired_test(*rng.uniform(size=(2, 60)), 299, seed=s) for s in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_p_is_that_of_a_t_test_on_many_queries():
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.02, 0.03, 0.05):
        a = rng.uniform(size=400)
        b = a + rng.normal(shift, 0.3, 400)
        assert paired_test(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.02)


def test_p_is_small_under_a_shift_and_pairing_is_what_finds_it():
    rng = np.random.default_rng(6)
    easy = rng.uniform(size=200)  # queries differ far more than the runs do
    a, b = easy + 0.01, easy + rng.normal(0, 0.01, 200)
    assert paired_test(a, b) == pytest.approx(1 / 10000)
    assert paired_test(a, rng.permutation(b)) > 0.05


def test_p_is_symmetric_and_depends_on_the_seed_alone():
    rng = np.random.default_rng(7)
    a, b = rng.uniform(size=(2, 40))
    p = paired_test(a, b, 999, seed=1)
    assert 0 < p < 1
    assert paired_test(b, a, 999, seed=1) == paired_test(a, b, 999, seed=1) == p
    assert paired_test(a, b, 999, seed=2) != p


def test_many_flips_are_drawn_in_parts():
    # Ten million numbers at a time: here a hundred flips, so the last part is a rest of 50.
    a = np.random.default_rng(8).normal(0.00001, 1, 100_000)
    p = paired_test(a, np.zeros(100_000), 150)
    assert p == pytest.approx(stats.ttest_1samp(a, 0).pvalue, abs=0.15)
    assert (p * 151) == pytest.approx(round(p * 151))


def test_narrow_types_do_not_wrap_around():
    a, b = np.array([1, 0, 0, 0, 0, 0], np.uint8), np.array([0, 1, 1, 1, 1, 1], np.uint8)
    assert paired_test(a, b) == paired_test(a.astype(float), b.astype(float))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        paired_test(np.zeros(3), np.zeros(2))
    for odd in (np.nan, np.inf):
        # NaN compares as never extreme, which would be the smallest p.
        with pytest.raises(ValueError, match="NaN or infinity at query 1"):
            paired_test(np.array([0.0, odd, 1.0]), np.zeros(3))
