"""The closing table fits a terminal, and says in words what a reader should know."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from bench.gate import Verdict, judge_run
from bench.report import evidence, remarks, table
from bench.status import Status
from tests.bench.runs import baseline_of, rounds, row_json, run_of, scores

if TYPE_CHECKING:
    from bench.baseline import Baseline
    from bench.results import Run

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b4"


def shown(run: Run, baseline: Baseline | None = None) -> list[str]:
    """Return the table's lines as a terminal of 100 columns shows them."""
    verdicts: dict[str, Verdict] = {verdict.case: verdict for verdict in judge_run(run, baseline)}
    text = io.StringIO()
    Console(file=text, width=100).print(table(run, verdicts))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def line_of(lines: list[str], case: str) -> list[str]:
    """Return the words of a case's line."""
    (line,) = [line for line in lines if line.startswith(f"{case} ")]
    return line.split()


def test_each_row_shows_its_figures() -> None:
    rows = [row_json(INT8, fps=412.34, speedup=4.1234), row_json(FP32, fps=1234.5, dice_truth=None)]
    lines = shown(run_of(*rows), baseline_of(*rows))
    assert line_of(lines, INT8) == [INT8, "412.3", "4.12x", "0.99233", "0.9900", "0.8767", "50", "PASS"]
    assert line_of(lines, FP32) == [FP32, "1234", "-", "1.00000", "1.0000", "-", "50", "PASS"]


def test_fps_of_a_case_that_was_timed_again_are_those_of_its_verdict() -> None:
    again = [{"samples_s": rounds(4 / fps), "canary_s": [0.01, 0.01]} for fps in (206.1, 206.5)]
    own = [{"samples_s": rounds(4 / 205.9), "canary_s": [0.01, 0.01]}]
    baseline = baseline_of(row_json(INT8, fps=205.2))
    for seen, fps in (
        ({"reruns": again}, "206.1"),
        ({"again": own}, "205.9"),
        ({"again": own, "reruns": again[:1]}, "206.0"),
    ):
        run = run_of(row_json(INT8, fps=41.0, **seen))
        assert line_of(shown(run, baseline), INT8)[1] == fps
        (verdict,) = judge_run(run, baseline)
        assert f"FPS 205.2 -> {fps}, " in verdict.evidence


def test_memory_that_the_system_cannot_tell_is_a_dash() -> None:
    assert line_of(shown(run_of(row_json(INT8, peak_memory_bytes=None))), INT8)[-2:] == ["-", "NO_BASELINE"]


def test_title_says_what_was_measured_on_what() -> None:
    title = " ".join(shown(run_of(row_json(INT8)))[:2])
    assert "tiny on 3 images (built-in held-out, 64x64), AMD EPYC, 2 threads" in title
    gpu = run_of(row_json(INT8), machine={"id": "h200", "cpu": "x", "cores": 2, "gpu": "NVIDIA H200"})
    assert "NVIDIA H200" in " ".join(shown(gpu)[:2])


@pytest.mark.parametrize(
    ("weights", "name"),
    [("initial weights of nets:make", "tiny with its initial weights on"), ("best.pt", "tiny on")],
)
def test_title_says_where_no_weights_were_named(weights: str, name: str) -> None:
    run = run_of(row_json(INT8), model={"name": "tiny", "digest": "m1", "weights": weights})
    assert shown(run)[0].startswith(f"{name} 3 images")


def test_rows_come_by_batch_size_and_then_from_slow_to_fast() -> None:
    cases = {"openvino-int8-b8": 10.0, "openvino-int8-b1": 300.0, "torch-fp32-b1": 20.0, "onnxruntime-int8-b1": 100.0}
    lines = shown(run_of(*(row_json(case, fps=fps) for case, fps in cases.items())))
    order = [line.split()[0] for line in lines if line.partition(" ")[0] in cases]
    assert order == ["torch-fp32-b1", "onnxruntime-int8-b1", "openvino-int8-b1", "openvino-int8-b8"]


def test_a_case_that_failed_is_a_row_that_says_what_it_lacks() -> None:
    failed = {
        "tensorrt-fp32-b64": "out of memory at batch 64 (needs about 90.0 GiB)",
        "tensorrt-int8-b1": "tensorrt-int8-b1: TensorRT 8.6.0 cannot build the engine; TensorRT error: no kernel",
    }
    lines = shown(run_of(row_json(INT8), failed=failed))
    start = next(index for index, line in enumerate(lines) if line.startswith("tensorrt-fp32-b64"))
    assert " ".join(" ".join(lines[start : start + 3]).split()).startswith(
        "tensorrt-fp32-b64 - - - - - - out of memory at batch 64 (needs about 90.0 GiB)"
    )
    assert line_of(lines, "tensorrt-int8-b1") == ["tensorrt-int8-b1", *["-"] * 6, "FAILED"]


def test_table_fits_100_columns_without_cutting_an_id_or_a_number() -> None:
    longest = "torch_compile-int8-uncalibrated-b16"
    low = scores([[0.9, 0.5]] * 3)
    rows = [row_json(longest, fps=99999.0, speedup=111.11, dice_fp32=low, peak_memory_bytes=2**36), row_json(INT8)]
    lines = shown(run_of(*rows), baseline_of(row_json(INT8, fps=1000.0)))
    assert max(len(line) for line in lines) <= 100
    words = line_of(lines, longest)
    assert words[:7] == [longest, "99999", "111.11x", "0.50000", "0.5000", "0.8767", "65536"]
    assert words[7].startswith("REG")


def test_bad_verdict_is_shown() -> None:
    lines = shown(run_of(row_json(INT8, fps=10.0)), baseline_of(row_json(INT8)))
    assert "REGRESSION" in " ".join(line_of(lines, INT8))


def _remarks(*rows: dict[str, Any], **suite: Any) -> list[str]:
    return remarks(run_of(*rows, **suite))


def test_row_below_its_floor_is_remarked() -> None:
    low = row_json(INT8, dice_fp32=scores([[0.99, 0.9]] * 3))
    assert _remarks(low) == [f"{INT8}: Dice against FP32 0.9000 is below its floor 0.9700"]


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        ([[9, 0], [9, 0]], "no target in any image"),
        ([[0, 9], [0, 9]], "nothing else than target in any image"),
        ([[0, 9, 0], [0, 0, 9]], "nothing else than target in any image"),
        ([[9, 0], [0, 9]], "one class alone in each image"),
        ([[9, 0], [8, 1]], None),
        ([[0, 9, 1], [0, 0, 9]], None),
        (None, None),
    ],
)
def test_masks_of_one_class_alone_are_remarked(pixels: list[list[int]] | None, told: str | None) -> None:
    wanted = f"the FP32 masks hold {told}: Dice says nothing; are weights and input scale right?"
    assert _remarks(row_json(INT8), fp32_pixels=pixels) == ([wanted] if told else [])


def test_files_of_before_pixels_were_counted_have_no_such_remark() -> None:
    assert "fp32_pixels" not in run_of(row_json(INT8)).suite
    assert _remarks(row_json(INT8)) == []


def test_calibration_on_the_measured_images_is_remarked_where_int8_ran() -> None:
    calibration = {"note": "INT8 was calibrated on the measured images"}
    assert _remarks(row_json(INT8), calibration=calibration) == ["INT8 was calibrated on the measured images"]
    assert _remarks(row_json(FP32), calibration=calibration) == []


def test_skipped_cases_are_remarked_once_per_reason() -> None:
    skipped = {"openvino-fp16-b1": "no FP16", "openvino-fp16-b4": "no FP16", "tensorrt": "not installed"}
    assert _remarks(row_json(INT8), skipped=skipped) == [
        "skipped openvino-fp16-b1, openvino-fp16-b4: no FP16",
        "skipped tensorrt: not installed",
    ]
    whole = {f"openvino-fp16-b{size}": "no FP16" for size in (1, 4, 8)}
    absent = {name: f"{name}: No module named 'tensorrt'" for name in ("tensorrt", "torch2trt")}
    assert _remarks(row_json(INT8), skipped={**whole, **absent}) == [
        "skipped openvino-fp16: no FP16",
        "skipped tensorrt, torch2trt: No module named 'tensorrt'",
    ]


def test_evidence_that_cases_share_is_told_once() -> None:
    said = [("a", "other images"), ("b", "FPS fell"), ("c", "other images")]
    verdicts = [Verdict(case, Status.NOT_COMPARABLE, text) for case, text in said]
    assert evidence(verdicts) == ["NOT_COMPARABLE a, c: other images", "NOT_COMPARABLE b: FPS fell"]


def test_run_with_nothing_to_say_has_no_remarks() -> None:
    assert _remarks(row_json(INT8, speedup=3.0), row_json(FP32, speedup=1.0)) == []
