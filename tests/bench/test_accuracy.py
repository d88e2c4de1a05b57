"""How far honest builds differ is taken from the stored runs, and allows one more build and no fault."""

from __future__ import annotations

import numpy as np
import pytest

from bench.accuracy import between_builds, judge_accuracy
from bench.gate import Status, judge_run
from tests.bench.runs import IMAGES, baseline_of, row_json, run_of, scores, stored

INT8 = "tensorrt-int8-b4"
GOOD = np.array([[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]])


def built(generator: np.random.Generator, spread: float, shift: float = 0.0) -> list[list[float]]:
    """Return the Dice of one more build: what tactics do to each image, and to all alike."""
    noise = spread * (generator.normal(size=GOOD.shape) + generator.normal())
    found: list[list[float]] = np.clip(GOOD - 0.005 - shift + noise, 0, 1).tolist()
    return found


def test_deterministic_builds_allow_nothing_beyond_the_limits() -> None:
    for runs in (1, 3):
        of_image, of_mean = between_builds(np.stack([GOOD] * runs))
        assert of_image == pytest.approx(0, abs=1e-12)
        assert of_mean == pytest.approx([0, 0], abs=1e-12)


def test_allowance_is_students_prediction_limit_bounded_by_what_images_spread() -> None:
    shifted = np.stack([GOOD + part for part in (-0.001, 0.0, 0.001)])
    of_image, of_mean = between_builds(shifted)
    assert of_mean == pytest.approx([3.7074 * 0.001 * (4 / 3) ** 0.5] * 2, rel=1e-3)
    assert of_image > of_mean[0]


@pytest.mark.parametrize("runs", [3, 5])
def test_rebuilds_by_a_builder_that_is_not_deterministic_raise_few_alarms_and_a_loss_is_found(runs: int) -> None:
    generator = np.random.default_rng(0)
    spread, alarms, caught = 0.002, 0, 0
    for _ in range(100):
        rows = [row_json(INT8, dice_fp32=scores(built(generator, spread))) for _ in range(runs)]
        (entry,) = stored([run_of(row) for row in rows], (1.0,) * runs).entries.values()
        again = run_of(row_json(INT8, dice_fp32=scores(built(generator, spread)))).rows[INT8]
        alarms += bool(judge_accuracy(again, entry).faults)
        worse = run_of(row_json(INT8, dice_fp32=scores(built(generator, spread, shift=0.03)))).rows[INT8]
        caught += bool(judge_accuracy(worse, entry).faults)
    assert alarms <= 3
    assert caught >= 97


def test_another_build_than_the_only_one_stored_is_named_where_dice_fell() -> None:
    baseline = baseline_of(row_json(INT8, engine_digest="a"))
    worse = scores((GOOD - 0.01).tolist())
    for digest, named in (("a", False), ("b", True)):
        (found,) = judge_run(run_of(row_json(INT8, engine_digest=digest, dice_fp32=worse)), baseline)
        assert found.status is Status.REGRESSION
        assert ("another build of the engine" in found.evidence) is named
    (found,) = judge_run(run_of(row_json(INT8, engine_digest="b")), baseline)
    assert found.status is Status.PASS
    assert "another build" not in found.evidence
    several = stored([run_of(row_json(INT8, engine_digest=digest)) for digest in "abc"])
    (found,) = judge_run(run_of(row_json(INT8, engine_digest="d", dice_fp32=worse)), several)
    assert "another build" not in found.evidence
    assert len(IMAGES) == len(GOOD)
