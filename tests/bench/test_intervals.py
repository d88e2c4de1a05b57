"""The statistics of speed: known answers, error rates by simulation, and what widens an interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import ttest_ind

from bench.intervals import ALPHA, _inverse_trigamma, compare, holm
from bench.visits import Visit, block_medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.intervals import Matrix

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


def test_one_noisy_case_alone_gets_the_interval_of_students_t() -> None:
    old, new = [0.100, 0.104, 0.097, 0.101], [0.110, 0.112, 0.108]
    found = compare([run_of([value]) for value in old], [run_of([value]) for value in new], CASES[:1])["case0"]
    theirs = ttest_ind(np.log(new), np.log(old))
    assert found.slowdown / found.error == pytest.approx(theirs.statistic)
    assert found.freedom == len(old) + len(new) - 2
    assert math.log(found.interval.ratio) == pytest.approx(np.log(old).mean() - np.log(new).mean())
    assert found.interval.low < found.interval.ratio < found.interval.high


def test_holm_adjusts_as_in_his_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("value", [0.01, 0.5, 3.0, 100.0])
def test_trigamma_is_inverted(value: float) -> None:
    assert float(polygamma(1, _inverse_trigamma(value))) == pytest.approx(value, rel=1e-6)


def test_unchanged_matrices_raise_few_alarms_and_losses_are_seen() -> None:
    generator = np.random.default_rng(0)
    alarms = seen = 0
    for _ in range(150):
        old = drawn(generator, 0.003, 3)
        same = compare(old, drawn(generator, 0.003, 1), CASES)
        alarms += any(change.p_slower < ALPHA for change in same.values())
        slower = compare(old, drawn(generator, 0.003, 1, loss=0.03), CASES)
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
    assert shaken.error > 10 * quiet.error
    assert shaken.worst_loss > quiet.worst_loss


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
