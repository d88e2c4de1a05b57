"""Each verdict is given for its own cause, and none is given silently."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.gate import BAD, Status, judge_run
from tests.bench.runs import baseline_of, row_json, run_of, scores

ROOT = Path(__file__).parents[2]
INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"
GOOD = [[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]


def verdict(run: Any, baseline: Any, case: str = INT8, **options: Any) -> tuple[Status, str]:
    """Return the one verdict on a case and its evidence."""
    (found,) = [each for each in judge_run(run, baseline, **options) if each.case == case]
    return found.status, found.evidence


def test_case_like_its_baseline_passes_and_shows_the_numbers() -> None:
    run = run_of(row_json(INT8, fps=95.0))
    assert verdict(run, baseline_of(row_json(INT8))) == (
        Status.PASS,
        "FPS 100.0 -> 95.0, -5.0%; Dice 0.9923 -> 0.9923",
    )


@pytest.mark.parametrize(("fps", "status"), [(89.9, Status.REGRESSION), (90.1, Status.PASS), (300.0, Status.PASS)])
def test_loss_of_fps_beyond_the_limit_is_a_regression(fps: float, status: Status) -> None:
    found, evidence = verdict(run_of(row_json(INT8, fps=fps)), baseline_of(row_json(INT8)))
    assert found == status
    if status is Status.REGRESSION:
        assert evidence == "FPS 100.0 -> 89.9, -10.1%, limit -10%"


def test_limit_on_fps_is_the_caller_s() -> None:
    run, baseline = run_of(row_json(INT8, fps=75.0)), baseline_of(row_json(INT8))
    assert verdict(run, baseline, max_fps_drop=0.3)[0] is Status.PASS
    assert verdict(run, baseline, max_fps_drop=0.2)[0] is Status.REGRESSION


@pytest.mark.parametrize(("image", "label"), [(0, 0), (0, 1), (1, 0), (2, 1)])
def test_drift_of_one_class_of_one_image_is_a_regression_that_names_it(image: int, label: int) -> None:
    changed = [list(row) for row in GOOD]
    changed[image][label] -= 0.006
    found, evidence = verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert found is Status.REGRESSION
    assert f"worst on {'abc'[image]}: -0.0060, limit -0.0050" in evidence


def test_drift_within_the_limit_or_upward_passes() -> None:
    changed = [[a + 0.001, b - 0.0045] for a, b in GOOD]
    assert verdict(run_of(row_json(INT8, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))[0] is Status.PASS
    better = [[1.0, 1.0]] * 3
    assert verdict(run_of(row_json(INT8, dice_fp32=scores(better))), baseline_of(row_json(INT8)))[0] is Status.PASS


def test_both_faults_are_told() -> None:
    changed = [[a, b - 0.01] for a, b in GOOD]
    _, evidence = verdict(run_of(row_json(INT8, fps=50.0, dice_fp32=scores(changed))), baseline_of(row_json(INT8)))
    assert "worst on" in evidence
    assert "FPS 100.0 -> 50.0, -50.0%" in evidence


def test_mean_below_the_floor_is_a_regression_whatever_was_stored() -> None:
    low = row_json(INT8, dice_fp32=scores([[0.99, 0.96]] * 3))
    for baseline in (None, baseline_of(low)):
        assert verdict(run_of(low), baseline) == (Status.REGRESSION, "Dice against FP32 0.9600, floor 0.9700")


def test_case_without_a_stored_one_has_no_baseline() -> None:
    for baseline in (None, baseline_of(row_json(FP32))):
        found, evidence = verdict(run_of(row_json(INT8)), baseline)
        assert found is Status.NO_BASELINE
        assert "nothing stored to compare with" in evidence


@pytest.mark.parametrize("part", ["model", "images"])
def test_baseline_of_another_model_or_image_set_is_not_comparable(part: str) -> None:
    stored = {
        "model": {"name": "older", "digest": "m0"},
        "images": {"origin": "elsewhere", "digest": "i0", "count": 3, "size": [64, 64]},
    }
    found, evidence = verdict(run_of(row_json(INT8, fps=1.0)), baseline_of(row_json(INT8), **{part: stored[part]}))
    assert found is Status.NOT_COMPARABLE
    assert {"model": "older", "images": "elsewhere"}[part] in evidence


def test_selected_case_that_the_baseline_holds_and_that_did_not_run_is_missing() -> None:
    run = run_of(row_json(FP32), selected=[FP32, INT8])
    assert verdict(run, baseline_of(row_json(FP32), row_json(INT8)))[0] is Status.MISSING


def test_skipped_case_is_missing_where_the_baseline_holds_it_and_skipped_elsewhere() -> None:
    run = run_of(row_json(FP32), selected=[FP32, INT8], skipped={INT8: "no VNNI"})
    assert verdict(run, baseline_of(row_json(INT8))) == (
        Status.MISSING,
        "skipped (no VNNI), but the baseline holds it",
    )
    assert verdict(run, baseline_of(row_json(FP32))) == (Status.SKIPPED, "no VNNI")


def test_every_held_case_of_a_backend_that_is_gone_is_missing() -> None:
    held = ["openvino-fp32-b1", INT8, "openvino-int8-entropy-b1"]
    run = run_of(row_json(FP32), selected=[FP32, "openvino"], skipped={"openvino": "no module named openvino"})
    found = judge_run(run, baseline_of(row_json(FP32), *(row_json(case) for case in held)))
    assert {each.case for each in found if each.status is Status.MISSING} == set(held)
    assert {each.status for each in found} == {Status.PASS, Status.MISSING}


def test_backend_that_is_gone_takes_no_other_of_a_longer_name_with_it() -> None:
    run = run_of(row_json(FP32), selected=[FP32, "torch"], skipped={"torch": "gone"})
    found = judge_run(run, baseline_of(row_json("torch_compile-fp32-b1"), row_json(FP32)))
    assert {each.case: each.status for each in found} == {FP32: Status.PASS, "torch": Status.SKIPPED}


def test_case_of_a_gone_backend_that_this_run_did_not_ask_for_is_not_missing() -> None:
    run = run_of(
        row_json(FP32),
        selected=[FP32, "openvino"],
        skipped={"openvino": "gone"},
        asked={"precisions": ["fp32", "int8"], "batch_sizes": [1]},
    )
    stored = [row_json("openvino-int8-b1"), row_json(INT8), row_json("openvino-bf16-b1")]
    found = judge_run(run, baseline_of(*stored))
    assert [each.case for each in found if each.status is Status.MISSING] == ["openvino-int8-b1"]


def test_case_that_was_not_asked_for_is_not_missing() -> None:
    found = judge_run(run_of(row_json(FP32)), baseline_of(row_json(FP32), row_json(INT8)))
    assert [(each.case, each.status) for each in found] == [(FP32, Status.PASS)]


def test_case_held_for_another_model_alone_is_not_missing() -> None:
    baseline = baseline_of(row_json(INT8), model={"name": "older", "digest": "m0"})
    run = run_of(row_json(FP32), selected=[FP32, INT8], skipped={INT8: "no VNNI"})
    assert verdict(run, baseline)[0] is Status.SKIPPED


def test_failed_case_is_failed_with_its_cause_held_or_not() -> None:
    run = run_of(row_json(FP32), selected=[FP32, INT8], failed={INT8: "LabelError: ran FP32"})
    for baseline in (None, baseline_of(row_json(INT8))):
        assert verdict(run, baseline) == (Status.FAILED, "LabelError: ran FP32")


def test_verdicts_that_fail_a_gated_run_are_these_three() -> None:
    assert {Status.REGRESSION, Status.MISSING, Status.FAILED} == BAD


@pytest.mark.parametrize("module", ["bench.gate", "bench.__main__", "bench.report"])
def test_verdicts_need_neither_torch_nor_pytest(module: str) -> None:
    code = f"import sys, {module}; print(*({{'torch', 'pytest', 'onnx', 'numpy', 'openvino'}} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == ""
