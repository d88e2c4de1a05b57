"""The statistics of speed: known answers, error rates by simulation, and what widens an interval."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import polygamma, stdtr
from scipy.stats import ttest_ind

from bench.change import ALPHA
from bench.intervals import TAIL, compare, holm, tail_freedom
from bench.variances import inverse_trigamma, median_variance, moderated
from bench.visits import Visit, block_medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.figures import Matrix

CASES = [f"case{index}" for index in range(20)]


def run_of(seconds: Sequence[float], canary: float = 0.01, scatter: float = 0.0) -> Matrix:
    """Return a run whose cases took these seconds, its rounds scattered by a share."""
    parts = (1 - scatter, 1.0, 1 + scatter)
    return {
        case: (Visit(tuple(value * part for part in parts), (canary, canary)),)
        for case, value in zip(CASES, seconds, strict=False)
    }


def drawn(generator: np.random.Generator, spread: float, count: int, loss: float = 0.0) -> list[Matrix]:
    """Return runs of all cases with normal noise between them; the first case lost this share of its FPS."""
    found = []
    for _ in range(count):
        seconds = 0.01 * np.exp(spread * generator.normal(size=len(CASES)))
        seconds[0] /= 1 - loss
        found.append(run_of(list(seconds)))
    return found


def test_one_case_alone_is_compared_by_medians_with_the_spread_that_students_t_pools() -> None:
    old, new = [0.100, 0.104, 0.097, 0.101, 0.099], [0.110, 0.112, 0.108]
    found = compare([run_of([value]) for value in old], [run_of([value]) for value in new], CASES[:1])["case0"]
    theirs = ttest_ind(np.log(new), np.log(old))
    pooled = (np.log(new).mean() - np.log(old).mean()) / theirs.statistic / math.sqrt(1 / 5 + 1 / 3)
    assert found.spread == pytest.approx(pooled)
    assert found.error == pytest.approx(pooled * math.sqrt(math.pi / 11 + math.pi / 7))
    assert found.freedom == len(old) + len(new) - 2
    assert found.interval.ratio == pytest.approx(0.100 / 0.110)
    assert found.interval.low < found.interval.ratio < found.interval.high


@pytest.mark.parametrize("runs", [1, 3, 5, 9])
def test_variance_and_tails_of_a_median_are_what_they_are_said_to_be(runs: int) -> None:
    generator = np.random.default_rng(0)
    medians = np.median(generator.normal(size=(40_000, runs)), axis=1)
    assert float(median_variance(np.array([runs]))[0]) == pytest.approx(float(medians.var()), rel=0.05)
    # Far out, where only the tails count, none of a median of t's may be more often than the t it is taken for.
    heavy = np.median(generator.standard_t(TAIL, size=(400_000, runs)), axis=1) / math.sqrt(TAIL)
    freedom = int(tail_freedom(np.array([runs]))[0])
    far = 6 * math.sqrt(float(median_variance(np.array([runs]))[0]))
    assert (heavy > far).mean() < 1.3 * float(stdtr(freedom, -far / heavy_scale(runs, freedom)))


def heavy_scale(runs: int, freedom: int) -> float:
    """Return the scale at which the gate reads a t of this freedom, for figures of variance 1."""
    return math.sqrt(float(median_variance(np.array([runs]))[0])) / math.sqrt(freedom / (freedom - 2))


def test_holm_adjusts_as_in_his_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("value", [0.01, 0.5, 3.0, 100.0])
def test_trigamma_is_inverted(value: float) -> None:
    assert float(polygamma(1, inverse_trigamma(value))) == pytest.approx(value, rel=1e-6)


def test_two_cases_know_no_more_of_their_spread_than_both_have_together() -> None:
    # As limma's df.total: their variances look alike, which would be worth infinitely many degrees of freedom.
    _, freedom = moderated(np.array([1.0, 1.1]), np.array([2.0, 2.0]))
    assert list(freedom) == [4.0, 4.0]


def test_unchanged_matrices_raise_few_alarms_and_losses_are_seen() -> None:
    generator = np.random.default_rng(0)
    alarms = seen = 0
    for _ in range(150):
        old = drawn(generator, 0.003, 5)
        same = compare(old, drawn(generator, 0.003, 5), CASES)
        alarms += any(change.p_slower < ALPHA for change in same.values())
        slower = compare(old, drawn(generator, 0.003, 5, loss=0.02), CASES)
        seen += slower["case0"].p_slower < ALPHA
    assert alarms <= 4
    assert seen >= 140


def test_noisier_machine_sees_less_and_says_so() -> None:
    generator = np.random.default_rng(0)
    smallest = [
        compare(drawn(generator, spread, 3), drawn(generator, spread, 1), CASES)["case0"].smallest_seen
        for spread in (0.002, 0.01, 0.05)
    ]
    assert smallest[0] < 0.03 < smallest[1] < 0.12 < smallest[2]


def test_case_noisier_than_the_others_is_not_made_quieter_by_them() -> None:
    old = [run_of([seconds, *[0.01 * part] * 19]) for seconds, part in ((0.01, 1.0), (0.02, 1.001), (0.04, 0.999))]
    found = compare(old, [run_of([0.03, *[0.01] * 19])], CASES)
    assert found["case0"].spread > 0.6
    assert found["case1"].spread < 0.1


@pytest.mark.parametrize(("canary", "scatter"), [(0.012, 0.0), (0.008, 0.0), (0.01, 0.3)])
def test_drift_of_the_canary_or_scatter_of_the_rounds_widens_the_interval(canary: float, scatter: float) -> None:
    old = [run_of([0.01 * part] * 20) for part in (0.999, 1.0, 1.001)]
    quiet, shaken = (
        compare(old, [run_of([0.01] * 20, *how)], CASES)["case0"] for how in ((0.01, 0.0), (canary, scatter))
    )
    assert (shaken.error > 10 * quiet.error) == (canary >= 0.01)
    assert (shaken.error_above > 10 * quiet.error_above) == (canary <= 0.01)
    assert (shaken.interval.high > quiet.interval.high) == (canary >= 0.01)
    assert (shaken.interval.low < quiet.interval.low) == (canary <= 0.01)
    assert (shaken.worst_loss > quiet.worst_loss) == (canary <= 0.01)


def bare(run: Matrix) -> Matrix:
    """Return a run beside which no canary was timed."""
    return {case: [replace(visit, canary_s=None) for visit in found] for case, found in run.items()}


def test_canary_that_some_runs_were_not_timed_beside_says_nothing_of_the_others() -> None:
    old = [run_of([0.01 * part] * 20, 0.02) for part in (0.999, 1.0, 1.001)]
    new = [run_of([0.0105, *[0.01] * 19], 0.01)] * 3
    neither = compare([bare(run) for run in old], [bare(run) for run in new], CASES)
    assert neither["case0"].p_slower < ALPHA
    assert neither["case0"].canary_drift == 0
    for sides in (
        (old, [bare(run) for run in new]),
        ([bare(run) for run in old], new),
        (old, [*new[:2], bare(new[2])]),
    ):
        assert compare(*sides, CASES) == neither


@pytest.mark.parametrize(("canary", "slower", "faster"), [(0.0093, True, False), (0.0107, False, True)])
def test_a_faster_machine_excuses_no_slowness_and_a_slower_one_explains_no_gain(
    canary: float,
    slower: bool,  # noqa: FBT001 - a parameter
    faster: bool,  # noqa: FBT001 - a parameter
) -> None:
    old = [run_of([0.01 * part] * 20) for part in (0.999, 1.0, 1.001, 0.9995, 1.0005)]
    lost, won = ([run_of([seconds, *[0.01] * 19], canary)] * 5 for seconds in (0.0108, 0.0092))
    assert (compare(old, lost, CASES)["case0"].p_slower < ALPHA) == slower
    assert (compare(old, won, CASES)["case0"].p_faster < ALPHA) == faster


def test_a_case_is_excused_by_the_drift_of_the_runs_it_was_in_alone() -> None:
    old = [run_of([0.01 * part] * 20) for part in (0.999, 1.0, 1.001, 0.9995, 1.0005)]
    first = run_of([0.0103, *[0.01] * 19], canary=0.0105)
    again = [{"case0": run_of([0.0103])["case0"]}] * 6
    once, seven = (compare(old, [first, *more], CASES) for more in ([], again))
    assert once["case0"].p_slower > ALPHA > seven["case0"].p_slower
    assert seven["case0"].error < 0.01
    assert seven["case1"].error > 0.04


def test_what_the_canary_s_medians_differ_by_anyway_is_no_drift() -> None:
    old = [run_of([0.01 * part] * 20, canary) for part, canary in ((0.999, 0.0097), (1.0, 0.01), (1.001, 0.0103))]
    none, little, much = (compare(old, [run_of([0.01] * 20, to)], CASES)["case0"].error for to in (0.01, 0.0102, 0.012))
    assert little == pytest.approx(none)
    assert much > 0.1


@pytest.mark.parametrize(("runs", "share"), [(1, 1.0), (4, 0.5)])
def test_rounds_that_always_scattered_widen_less_the_more_runs_there_are(runs: int, share: float) -> None:
    quiet, shaken = ([run_of([0.01 * part] * 20, scatter=by) for part in (0.999, 1.0, 1.001)] for by in (0.0, 0.2))
    new = [run_of([0.01] * 20, scatter=0.2)] * runs
    expected = share * compare(quiet, new, CASES)["case0"].error
    assert compare(shaken, new, CASES)["case0"].error == pytest.approx(expected, rel=0.02)


def test_single_runs_are_compared_by_their_rounds() -> None:
    found = compare([run_of([0.01], scatter=0.01)], [run_of([0.012], scatter=0.01)], CASES[:1])["case0"]
    assert found.interval.low < 1 / 1.2 < found.interval.high
    assert compare([], [], []) == {}


def test_fastest_visit_speaks_for_a_run() -> None:
    slow, fast = Visit((0.02,) * 3, (0.01, 0.01)), Visit((0.01,) * 3, (0.01, 0.01))
    old = [{"case0": (fast,)}] * 3
    assert compare(old, [{"case0": (slow, fast)}], ["case0"])["case0"].slowdown == pytest.approx(0)


def test_blocks_are_medians_of_equal_parts_in_time_order() -> None:
    assert block_medians([1, 9, 2, 3, 4, 8, 5, 6, 7], 3) == (2, 4, 6)
    assert block_medians([3, 1], 8) == (3, 1)


def test_machine_s_drift_widens_though_the_canary_scattered_before_and_one_reading_s_scatter_does_not() -> None:
    old = [run_of([0.01 * part] * 20, canary) for part, canary in ((0.99, 0.008), (1.0, 0.01), (1.01, 0.0125))]
    steady, busy = (compare(old, [run_of([0.03] * 20, canary)], CASES)["case0"] for canary in (0.01, 0.02))
    assert steady.p_slower < ALPHA < busy.p_slower
    one = {**run_of([0.01] * 20), "case0": (Visit((0.01,) * 3, (0.012, 0.012)),)}
    assert compare(old, [one], CASES)["case0"].error == pytest.approx(steady.error)
