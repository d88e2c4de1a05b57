"""The harness's own comparison: ratios turn by turn, and an interval that supposes nothing of the noise."""

from __future__ import annotations

import random
import re

from bench.harness import ratio

TURNS = 15


def test_suite_is_not_compared_with_itself() -> None:
    assert ratio([{"suite": 10.0}], "suite") == ""


def test_ratio_is_the_median_of_the_turns_whatever_the_machine_did_between_them() -> None:
    turns = [{"suite": 98.0 * slow, "other": 100.0 * slow} for slow in (1.0, 0.3, 0.7)]
    assert "suite / other 0.980 (95 % interval 0.980 to 0.980)" in ratio(turns, "other")


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(1)  # noqa: S311 - no secret
    hits = 0
    for _ in range(400):
        turns = [{"suite": 100 * draw.lognormvariate(0, 0.1), "other": 100.0} for _ in range(TURNS)]
        low, high = (float(edge) for edge in re.findall(r"(\d\.\d+) to (\d\.\d+)", ratio(turns, "other"))[0])
        hits += low <= 1 <= high
    assert 0.94 <= hits / 400 <= 0.99
