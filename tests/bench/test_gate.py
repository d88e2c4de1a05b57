"""Each verdict is given for its own cause, and none is given silently."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.gate import BAD, Status, Verdict, findings, judge_run
from bench.status import conclusion, exit_status
from tests.bench.runs import GOOD, MACHINE, baseline_of, row_json, run_of, scores, verdict

ROOT = Path(__file__).parents[2]
INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"


@pytest.mark.parametrize(
    ("machine", "status"),
    [
        ({"cpu": "Intel Xeon"}, Status.NOT_COMPARABLE),
        ({"gpu": "NVIDIA H200"}, Status.NOT_COMPARABLE),
        ({"cores": 4}, Status.NOT_COMPARABLE),
        ({"driver": "999.1"}, Status.PASS),
    ],
)
def test_another_machine_is_not_comparable_and_another_driver_is_named(machine: dict[str, Any], status: Status) -> None:
    run = run_of(row_json(INT8), machine={**MACHINE, **machine})
    found, evidence = verdict(run, baseline_of(row_json(INT8)))
    assert found is status
    assert f"-> {next(iter(machine.values()))}" in evidence


def test_masks_are_still_judged_where_only_the_speed_is_not_comparable() -> None:
    changed = scores([[a, b - 0.01] for a, b in GOOD])
    run = run_of(row_json(INT8, dice_fp32=changed, fps=1.0), machine={**MACHINE, "cores": 4})
    found, evidence = verdict(run, baseline_of(row_json(INT8)))
    assert found is Status.REGRESSION
    assert "FPS" not in evidence


def test_other_library_version_and_calibration_images_are_named() -> None:
    run = run_of(row_json(INT8, versions={"openvino": "2.0"}), calibration={"digest": "c2"})
    found, evidence = verdict(run, baseline_of(row_json(INT8)))
    assert found is Status.PASS
    assert "versions openvino 1.0 -> 2.0, calibration images changed" in evidence


def test_what_speed_and_accuracy_say_together_is_found() -> None:
    whole = scores([[1.0, 1.0] for _ in GOOD])
    rows = [
        row_json(INT8, fps=150.0, dice_fp32=scores([[a, b - 0.01] for a, b in GOOD])),
        row_json("openvino-int8-b1", speedup=0.8),
        row_json("openvino-fp32-b2", fps=100.0, speedup=2.0),
        row_json("openvino-fp16-b2", fps=56.0, speedup=1.12, dice_fp32=whole),
        row_json("openvino-bf16-b2", fps=101.0, speedup=2.02, dice_fp32=whole),
        row_json("torch-int8-b1", achieved={"fp32": 0.7, "int8": 0.3}),
    ]
    run = run_of(*rows)
    found = findings(run, judge_run(run, baseline_of(row_json(INT8), *rows[1:])))
    assert found == [
        "torch-int8-b1 is labelled int8, but ran 70% fp32, 30% int8",
        f"{INT8} is faster but less accurate: +50.0% FPS, Dice -0.0100",
        "openvino-fp16-b2 is accurate but slower than openvino-fp32-b2 (0.56x)",
        "openvino-int8-b1 is accurate but slower than FP32 (0.80x)",
    ]


def test_exit_status_says_bad_before_not_comparable_before_strict() -> None:
    def status(*found: Status, strict: bool = False) -> int:
        return exit_status([Verdict("x", each, "") for each in found], strict=strict)

    assert status(Status.PASS, Status.IMPROVED, Status.SKIPPED, Status.NO_BASELINE, Status.INCONCLUSIVE) == 0
    assert status(Status.NOT_COMPARABLE, Status.PASS) == status() == 2
    for bad in BAD:
        assert status(Status.NOT_COMPARABLE, bad) == 1
    assert status(Status.INCONCLUSIVE, strict=True) == status(Status.NO_BASELINE, strict=True) == 1


@pytest.mark.parametrize(
    ("found", "strict", "told"),
    [
        (["PASS", "SKIPPED"], True, "The gate passed: none of 1 cases regressed, failed or vanished."),
        (
            ["PASS", "INCONCLUSIVE"],
            False,
            "passed: none of 2 cases regressed, failed or vanished, 1 of 2 INCONCLUSIVE",
        ),
        (["PASS", "NO_BASELINE"], True, "The gate failed: 1 of 2 INCONCLUSIVE or without a baseline."),
        (["MISSING", "REGRESSION", "NOT_COMPARABLE"], False, "failed: 2 of 3 cases regressed, failed or vanished."),
        (["FAILED", "INCONCLUSIVE"], True, "1 of 2 cases regressed, failed or vanished and 1 of 2 INCONCLUSIVE"),
        (["PASS", "NOT_COMPARABLE"], True, "The gate could not judge: 1 of 2 cases cannot be compared."),
        ([], False, "The gate could not judge: 0 of 0 cases"),
    ],
)
def test_conclusion_says_what_the_exit_status_does(found: list[str], told: str, *, strict: bool) -> None:
    verdicts = [Verdict("x", Status(each), "") for each in found]
    said = conclusion(verdicts, strict=strict)
    assert told in said
    word = said.removeprefix("The gate ").partition(":")[0]
    assert exit_status(verdicts, strict=strict) == ["passed", "failed", "could not judge"].index(word)


def test_case_without_a_stored_one_has_no_baseline() -> None:
    for baseline in (None, baseline_of(row_json(FP32))):
        found, evidence = verdict(run_of(row_json(INT8)), baseline)
        assert found is Status.NO_BASELINE
        assert "nothing stored to compare with" in evidence


@pytest.mark.parametrize("part", ["model", "images"])
def test_baseline_of_another_model_or_image_set_is_not_comparable(part: str) -> None:
    other: dict[str, Any] = {
        "model": {"name": "older", "digest": "m0"},
        "images": {"origin": "elsewhere", "digest": "i0", "count": 3, "size": [64, 64]},
    }
    found, evidence = verdict(run_of(row_json(INT8, fps=1.0)), baseline_of(row_json(INT8), **{part: other[part]}))
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
    held = [row_json("openvino-int8-b1"), row_json(INT8), row_json("openvino-bf16-b1")]
    found = judge_run(run, baseline_of(*held))
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
    code = f"import sys, {module}; print(*({{'torch', 'pytest', 'onnx', 'openvino'}} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == ""
