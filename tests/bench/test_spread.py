"""The spread of stored runs is that of their seconds and Dice, told apart by builds, also in words to quote."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import chi2

from bench.spread import pooled_fps, spread_of, uncertainty
from bench.spread_words import doubt, in_words
from bench.visits import Visit
from tests.bench.spreads import FP32, INT8, changed, entry_of, judged, logs, ran

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_spread_within_a_build_is_the_standard_deviation_between_its_runs() -> None:
    found = spread_of(entry_of(ran(100.0), ran(101.0), ran(103.0)))
    assert (found.runs, found.builds, found.between, found.chance, found.untold) == (3, 1, None, None, None)
    assert found.within is not None
    assert found.within.fps == pytest.approx(statistics.stdev(logs(100, 101, 103)))
    assert found.within.fps == pytest.approx(
        statistics.stdev([100, 101, 103]) / statistics.mean([100, 101, 103]), rel=0.01
    )
    assert (found.within.freedom, found.within.dice) == (2, 0)


def test_builds_are_pooled_by_their_degrees_of_freedom_and_their_own_speeds_are_no_spread_within() -> None:
    slow, fast, once = (100.0, 102.0, 103.0), (200.0, 210.0), (400.0,)
    runs = [ran(fps, engine) for engine, group in zip("abc", (slow, fast, once), strict=True) for fps in group]
    found = spread_of(entry_of(*runs[::-1]))
    variance = (2 * statistics.variance(logs(*slow)) + statistics.variance(logs(*fast))) / 3
    assert found.within is not None
    assert (found.runs, found.builds, found.within.freedom) == (6, 3, 3)
    assert found.within.fps == pytest.approx(variance**0.5)


def test_spread_between_builds_is_of_their_means_and_chance_is_what_their_runs_would_make_of_it() -> None:
    groups = ((100.0, 102.0, 104.0), (110.0, 111.0), (120.0,))
    found = spread_of(
        entry_of(*(ran(fps, engine) for engine, group in zip("abc", groups, strict=True) for fps in group))
    )
    means = [statistics.fmean(logs(*group)) for group in groups]
    variance = (2 * statistics.variance(logs(*groups[0])) + statistics.variance(logs(*groups[1]))) / 3
    assert found.between is not None
    assert found.between.fps == pytest.approx(statistics.stdev(means))
    assert found.between.freedom == 2
    assert found.chance == pytest.approx((variance * (1 / 3 + 1 / 2 + 1) / 3) ** 0.5)


def test_builds_that_do_not_differ_lie_apart_by_chance_alone() -> None:
    noise = np.random.default_rng(7)
    squares = []
    for _ in range(400):
        runs = [ran(100 * math.exp(noise.normal(0, 0.01)), engine) for engine in "aaaabbc"]
        found = spread_of(entry_of(*runs))
        assert found.between is not None
        assert found.chance is not None
        squares.append((found.between.fps**2, found.chance**2))
    seen, expected = np.mean(squares, axis=0)
    assert seen == pytest.approx(expected, rel=0.1)
    assert seen == pytest.approx(0.01**2 * (1 / 4 + 1 / 2 + 1) / 3, rel=0.1)


def test_builds_that_ran_once_each_have_no_spread_within() -> None:
    found = spread_of(entry_of(ran(100.0, "a"), ran(101.0, "b"), ran(104.0, "c")))
    assert (found.within, found.chance, found.builds) == (None, None, 3)
    assert found.between is not None
    assert found.between.fps == pytest.approx(statistics.stdev(logs(100, 101, 104)))


@pytest.mark.parametrize("engines", [("", "", ""), ("a", "", "b")])
def test_runs_that_do_not_tell_their_builds_are_neither_within_nor_between(engines: Sequence[str]) -> None:
    found = spread_of(entry_of(*(ran(fps, engine) for fps, engine in zip((100.0, 101.0, 104.0), engines, strict=True))))
    assert (found.builds, found.within, found.between, found.chance) == (0, None, None, None)
    assert found.untold is not None
    assert found.untold.fps == pytest.approx(statistics.stdev(logs(100, 101, 104)))


def test_fastest_visit_speaks_for_a_run() -> None:
    disturbed = replace(ran(102.0), visits=(Visit((4 / 50,) * 3, None), Visit((4 / 102,) * 3, None)))
    found = spread_of(entry_of(ran(100.0), disturbed))
    assert found.within is not None
    assert found.within.fps == pytest.approx(statistics.stdev(logs(100, 102)))


@pytest.mark.parametrize("kind", ["fp32", "truth"])
def test_dice_apart_is_that_of_the_worst_image_and_class_not_of_their_mean(kind: str) -> None:
    one, other = (changed(1, 1, by) for by in (0.0005, -0.002))
    within = spread_of(entry_of(judged(kind, "a", one), ran(100.0, "a"), judged(kind, "a", other))).within
    assert within is not None
    assert within.dice == pytest.approx(0.0025)
    builds = (ran(100.0, "a"), ran(100.0, "a"), judged(kind, "b", other), judged(kind, "b", other))
    apart = spread_of(entry_of(*builds))
    assert apart.within is not None
    assert apart.between is not None
    assert apart.within.dice == 0
    assert apart.between.dice == pytest.approx(0.002)


def test_run_without_truth_is_compared_by_the_fp32_masks() -> None:
    runs = [replace(ran(100.0, fp32=changed(2, 0, by)), dice_truth=None) for by in (0.0, 0.0001)]
    within = spread_of(entry_of(*runs)).within
    assert within is not None
    assert within.dice == pytest.approx(0.0001)


def test_cases_are_pooled_by_degrees_of_freedom() -> None:
    three, two = (100.0, 102.0, 103.0), (50.0, 55.0)
    parts = [spread_of(entry_of(*map(ran, each))).within for each in (three, two)]
    found = pooled_fps([part for part in parts if part])
    variance = (2 * statistics.variance(logs(*three)) + statistics.variance(logs(*two))) / 3
    assert found.fps == pytest.approx(variance**0.5)
    assert found.freedom == 3


@pytest.mark.parametrize("freedom", [1, 2, 9])
def test_uncertainty_of_a_standard_deviation_is_the_chi_square_s(freedom: int) -> None:
    low, high = uncertainty(freedom)
    assert freedom / low**2 == pytest.approx(chi2.ppf(0.975, freedom))
    assert freedom / high**2 == pytest.approx(chi2.ppf(0.025, freedom))


def test_words_give_range_median_pool_and_the_case_whose_dice_differs_most() -> None:
    quiet = entry_of(*(ran(fps, engine) for engine, fps in zip("aabb", (100, 101, 100, 101), strict=True)))
    other = {"fp32": changed(0, 1, -0.003)}
    noisy = [
        ran(100.0, "a", FP32),
        ran(104.0, "a", FP32),
        ran(110.0, "b", FP32, **other),
        ran(112.0, "b", FP32, **other),
    ]
    spreads = [spread_of(quiet), spread_of(entry_of(*noisy, case=FP32))]
    within = [statistics.stdev(logs(100, 101)),
              ((statistics.variance(logs(100, 104)) + statistics.variance(logs(110, 112))) / 2) ** 0.5]  # fmt: skip
    pool = (sum(value**2 for value in within) / 2) ** 0.5
    mean_of = [statistics.fmean(logs(*pair)) for pair in ((100, 104), (110, 112))]
    between = statistics.stdev(mean_of)
    first, second = in_words(spreads)
    assert first == (
        f"Between process runs of one build a case's FPS differed by {within[0]:.2%} to {within[1]:.2%} (standard "
        f"deviation; median {sum(within) / 2:.2%}, pooled {pool:.2%}; 2 cases of 4 runs and 2 builds), and no Dice "
        "differed."
    ).replace("%", " %").replace(" % to", " to")
    assert second == (
        f"Between builds a case's FPS differed by 0.00 to {between:.2%} (standard deviation; median {between / 2:.2%}, "
        f"pooled {between / 2**0.5:.2%}; 2 cases of 4 runs and 2 builds), and an image's Dice by at most 0.003000 "
        f"({FP32}), the noise of their runs included: by that alone it would be {pool / 2**0.5:.2%} where "
        f"{between / 2**0.5:.2%} was seen (pooled)."
    ).replace("%", " %")
    assert doubt(spreads) == (
        "A standard deviation of 1 degree of freedom may in truth be 0.45 to 32 times as large (95 %): the range over "
        "cases is wider by that than the cases differ."
    )


def test_words_say_what_is_not_known() -> None:
    alone = spread_of(entry_of(ran(100.0), ran(101.0), ran(102.0)))
    untold = spread_of(entry_of(ran(100.0, ""), ran(101.0, ""), case=FP32))
    fresh = spread_of(entry_of(ran(100.0, "a"), ran(101.0, "b")))
    words = in_words([alone, fresh, untold])
    assert [line.partition(" differed")[0] for line in words[:3]] == [
        f"Between process runs of one build the FPS of {INT8}",
        f"Between builds the FPS of {INT8}",
        f"Between process runs the FPS of {FP32}",
    ]
    assert words[1].endswith("included: no build ran twice, which would tell how much that is.")
    assert words[2].endswith("these runs do not tell their builds, of which there may be several.")
    assert words[3] == "1 case ran as one build alone: how far builds lie apart is not known of them."
    assert doubt([spread_of(entry_of(ran(100.0)))]) == "No case has two runs to compare."
