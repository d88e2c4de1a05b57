"""What a run lost in speed or accuracy is told by its own verdict, with the limit that it broke."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from bench.entries import Waiver
from bench.gate import Status, judge_run
from tests.bench.runs import GOOD, baseline_of, rounds, row_json, run_of, scores, stored, verdict

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"


def many(fps: float = 100.0) -> list[dict[str, Any]]:
    """Return a case at some speed among others that stay as they are, from which the machine's noise is known."""
    return [row_json(INT8, fps=fps), *(row_json(f"openvino-int8-b{size}") for size in range(10, 30))]


def test_case_like_its_baseline_passes_and_shows_the_numbers() -> None:
    found, evidence = verdict(run_of(row_json(INT8, fps=99.5)), baseline_of(row_json(INT8)))
    assert found is Status.PASS
    assert re.fullmatch(
        r"FPS 100\.0 -> 99\.5, -0\.5% \(99% interval -\d\.\d% to \+\d\.\d%\); Dice 0\.9923 -> 0\.9923", evidence
    )


@pytest.mark.parametrize(("fps", "status"), [(95.0, Status.REGRESSION), (99.7, Status.PASS), (110.0, Status.IMPROVED)])
def test_change_of_speed_beyond_noise_and_limit_is_told(fps: float, status: Status) -> None:
    found, evidence = verdict(run_of(*many(fps)), baseline_of(*many()))
    assert found is status
    if status is Status.REGRESSION:
        assert re.fullmatch(r"FPS 100\.0 -> 95\.0, -5\.0% \(99% interval -6\.\d% to -3\.\d%\), limit -1\.0%", evidence)


def test_interval_of_the_speed_comes_with_the_verdict() -> None:
    (found,) = judge_run(run_of(row_json(INT8, fps=90.0)), baseline_of(row_json(INT8)))
    assert found.speed is not None
    assert found.speed.low < found.speed.ratio < found.speed.high < 1
    assert found.speed.ratio == pytest.approx(0.9, rel=1e-4)


def test_loss_that_the_machine_s_noise_explains_is_inconclusive_and_says_what_could_be_seen() -> None:
    noisy = baseline_of(row_json(INT8), apart=(0.9, 1.0, 1.1))
    found, evidence = verdict(run_of(row_json(INT8, fps=93.0)), noisy)
    assert found is Status.INCONCLUSIVE
    assert re.search(r"a loss below \d\d% could not have been seen for sure", evidence)


def test_rounds_that_scatter_within_the_new_run_leave_it_inconclusive() -> None:
    shaken = row_json(INT8, samples_s=rounds(4 / 93, spread=0.6))
    assert verdict(run_of(shaken), baseline_of(row_json(INT8)))[0] is Status.INCONCLUSIVE


def test_slower_run_beside_a_slower_canary_is_no_regression_but_is_with_a_steady_one() -> None:
    rows = [row_json(INT8, fps=90.0, canary_s=[0.012, 0.012])]
    found, evidence = verdict(run_of(*rows), baseline_of(row_json(INT8)))
    assert found is Status.INCONCLUSIVE
    assert "on a machine whose canary was 20% slower" in evidence
    assert verdict(run_of(row_json(INT8, fps=90.0)), baseline_of(row_json(INT8)))[0] is Status.REGRESSION


def test_visit_that_was_fast_again_clears_a_case_and_one_that_was_not_confirms_it() -> None:
    def again(fps: float) -> dict[str, Any]:
        visit = {"samples_s": rounds(4 / fps), "canary_s": [0.01, 0.01]}
        return row_json(INT8, fps=90.0, again=[visit])

    assert verdict(run_of(again(100.0)), baseline_of(row_json(INT8)))[0] is Status.PASS
    assert verdict(run_of(again(90.5)), baseline_of(row_json(INT8)))[0] is Status.REGRESSION


def test_limit_on_fps_is_the_caller_s() -> None:
    run, baseline = run_of(row_json(INT8, fps=75.0)), baseline_of(row_json(INT8))
    assert verdict(run, baseline, max_fps_drop=0.3)[0] is Status.PASS
    assert verdict(run, baseline, max_fps_drop=0.2)[0] is Status.REGRESSION


def test_further_runs_of_the_same_code_make_a_loss_sure() -> None:
    noisy = baseline_of(row_json(INT8), apart=(0.98, 1.0, 1.02))
    run = run_of(row_json(INT8, fps=93.0))
    assert verdict(run, noisy)[0] is Status.INCONCLUSIVE
    others = [run_of(row_json(INT8, fps=fps)) for fps in (93.5, 92.5, 93.2, 92.8)]
    assert verdict(run, noisy, others=others)[0] is Status.REGRESSION


@pytest.mark.parametrize(("image", "label"), [(0, 0), (0, 1), (1, 0), (2, 1)])
def test_drift_of_one_class_of_one_image_is_a_regression_that_names_it(image: int, label: int) -> None:
    changed = [list(row) for row in GOOD]
    changed[image][label] -= 0.006
    found, evidence = verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert found is Status.REGRESSION
    assert f"Dice of {'abc'[image]} -0.0060, limit -0.0050" in evidence


def test_small_loss_on_every_image_is_a_regression_of_the_mean() -> None:
    changed = [[a, b - 0.003] for a, b in GOOD]
    found, evidence = verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert found is Status.REGRESSION
    assert "Dice of class 1 -0.0030 on average (99 % interval -0.0030 to -0.0030), limit -0.0020" in evidence


def test_loss_on_some_images_that_the_mean_may_hide_is_inconclusive() -> None:
    changed = [list(row) for row in GOOD]
    changed[0][1] -= 0.0045
    found, evidence = verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert found is Status.INCONCLUSIVE
    assert "on average" in evidence


def test_loss_of_truth_alone_is_a_regression() -> None:
    changed = scores([[0.95, 0.88], [0.94, 0.85], [0.95, 0.88]])
    found, evidence = verdict(run_of(row_json(INT8, dice_truth=changed)), baseline_of(row_json(INT8)))
    assert found is Status.REGRESSION
    assert "truth Dice of a -0.0200" in evidence


def test_share_of_the_fp32_model_s_truth_must_be_kept_without_a_baseline_too() -> None:
    worse = row_json(INT8, dice_truth=scores([[0.95, 0.8]] * 3))
    found, evidence = verdict(run_of(worse, row_json(FP32)), None)
    assert found is Status.REGRESSION
    assert "keeps 91.25% of FP32's Dice against the truth, at least 99.0% wanted" in evidence


def test_small_drift_passes_and_an_unexplained_gain_is_told() -> None:
    changed = [[a, b - 0.001] for a, b in GOOD]
    assert verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))[0] is Status.PASS
    found, evidence = verdict(run_of(row_json(INT8, dice_fp32=scores([[1.0, 1.0]] * 3))), baseline_of(row_json(INT8)))
    assert found is Status.IMPROVED
    assert "Dice of class 1 +0.0077 on average" in evidence
    assert "more than rebuilding explains" in evidence


def test_what_the_baseline_s_own_runs_differ_by_is_allowed_on_top() -> None:
    changed = scores([[0.999, 0.989], [0.998, 0.99], [0.999, 0.992]])
    new = run_of(row_json(INT8, dice_fp32=changed))
    assert verdict(new, baseline_of(row_json(INT8)))[0] is Status.REGRESSION
    spread = [run_of(row_json(INT8, dice_fp32=scores([[a, b - part] for a, b in GOOD]))) for part in (0, 0.004, 0.002)]
    assert verdict(new, stored(spread))[0] is Status.PASS


def test_both_faults_are_told() -> None:
    changed = [[a, b - 0.01] for a, b in GOOD]
    _, evidence = verdict(run_of(row_json(INT8, fps=50.0, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert "Dice of a -0.0100" in evidence
    assert "FPS 100.0 -> 50.0, -50.0%" in evidence


def test_mean_below_the_floor_is_a_regression_whatever_was_stored() -> None:
    low = row_json(INT8, dice_fp32=scores([[0.99, 0.96]] * 3))
    for baseline in (None, baseline_of(low)):
        assert verdict(run_of(low), baseline) == (Status.REGRESSION, "Dice against FP32 0.9600, floor 0.9700")


def test_loss_since_the_anchor_has_its_own_limits() -> None:
    anchor = baseline_of(row_json(INT8)).entries[INT8, "m1", "i1"].current

    def drifted(**changes: Any) -> tuple[Status, str]:
        baseline = baseline_of(row_json(INT8, **changes))
        entries = {key: replace(entry, anchor=anchor) for key, entry in baseline.entries.items()}
        return verdict(run_of(row_json(INT8, **changes)), replace(baseline, entries=entries))

    assert drifted(fps=95.0)[0] is Status.PASS
    found, evidence = drifted(fps=80.0)
    assert found is Status.REGRESSION
    assert evidence == "FPS 100.0 -> 80.0 since the anchor of 2030-06-01, -20.0%, limit -10%"
    found, evidence = drifted(dice_fp32=scores([[a, b - 0.0045] for a, b in GOOD]))
    assert found is Status.REGRESSION
    assert evidence == "Dice -0.0045 since the anchor of 2030-06-01, limit -0.0040"


def test_waiver_moves_the_limit_of_its_case_until_its_day_and_fails_after_it() -> None:
    run = run_of(row_json(INT8, fps=85.0))
    for expires, status in (("2030-06-15", Status.PASS), ("2030-06-14", Status.REGRESSION)):
        waiver = Waiver(INT8, 0.2, "kernel lost in 2030.1", expires, "ada")
        found, evidence = verdict(run, replace(baseline_of(row_json(INT8)), waivers=(waiver,)))
        assert found is status
        assert "kernel lost in 2030.1" in evidence
    late = Waiver(INT8, 0.2, "old", "2030-01-01", "ada")
    as_before = run_of(row_json(INT8))
    assert verdict(as_before, replace(baseline_of(row_json(INT8)), waivers=(late,)))[0] is Status.REGRESSION
