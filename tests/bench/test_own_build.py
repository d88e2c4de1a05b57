"""A run of a build that the baseline holds is judged by that build's runs, whatever the others' speed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.builds import Builds
from bench.change import ALPHA
from bench.gate import Status, judge_run
from bench.intervals import compare
from bench.replay import slowed
from tests.bench.runs import row_json, run_of, scores, stored
from tests.bench.test_builds import APART, CASES, matrices


def test_run_of_one_of_several_builds_is_compared_with_that_build_s_runs() -> None:
    generator = np.random.default_rng(5)
    alarms = seen = before = 0
    for _ in range(200):
        *old, new = matrices(generator, 3, 3)
        (visit,) = new[CASES[0]]
        lost = {**new, CASES[0]: slowed([visit], 0.03)}
        own, other = (
            dict.fromkeys(CASES, Builds(tuple("aaabbbcc"), (digest,), APART, 2.0 * len(CASES))) for digest in "cz"
        )
        alarms += any(change.p_slower < ALPHA for change in compare(old, [new], CASES, own).values())
        found = compare(old, [lost], CASES, own)[CASES[0]]
        assert (found.old_runs, found.apart) == (2, 0.0)
        seen += found.p_slower < ALPHA
        before += compare(old, [lost], CASES, other)[CASES[0]].p_slower < ALPHA
    assert alarms <= 200 * 2 * ALPHA
    assert seen > 190
    assert before < 20


@pytest.mark.parametrize(
    ("digest", "fps", "status", "told"),
    [
        ("b", 105.0, Status.PASS, "FPS 105.0 -> 105.0, +0.0%"),  # against the median of all: INCONCLUSIVE
        ("b", 97.0, Status.REGRESSION, "FPS 105.0 -> 97.0, -7.6%"),
        ("a", 97.0, Status.PASS, "FPS 97.0 -> 97.0, +0.0%"),
        ("z", 97.0, Status.INCONCLUSIVE, "FPS 97.1 -> 97.0, -0.1%"),
    ],
)
def test_verdict_on_a_build_that_fewer_stored_runs_are_of(digest: str, fps: float, status: Status, told: str) -> None:
    case, dice = "torch_compile-fp16-b4", scores([[0.9999, 0.9999]] * 3)
    runs = [run_of(row_json(case, engine_digest=each, dice_fp32=dice)) for each in "aaabb"]
    baseline = stored(runs, (100 / 96.9, 100 / 97.0, 100 / 97.1, 100 / 104.9, 100 / 105.1))
    (found,) = judge_run(run_of(row_json(case, fps, engine_digest=digest, dice_fp32=dice)), baseline)
    assert found.status is status, found.evidence
    assert found.evidence.startswith(told)
    kept = "" if digest == "z" else f"against {'aaabb'.count(digest)} of 5 runs, those of its own build"
    assert kept in found.evidence
    assert ("its own build" in found.evidence) == bool(kept)
