"""A case's id names it, and nothing else does."""

from __future__ import annotations

import pytest

from bench.case import PRECISIONS, Case, parse_case


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", ["torch", "torch_compile", "torch2trt"])
def test_id_of_a_case_names_that_case(backend: str, precision: str) -> None:
    case = Case(backend, precision, 12)
    assert case.id == str(case) == f"{backend}-{precision}-b12"
    assert parse_case(case.id) == case


def test_longest_precision_wins() -> None:
    assert parse_case("tensorrt-int8-entropy-b1") == Case("tensorrt", "int8-entropy", 1)
    assert parse_case("tensorrt-int8-b1") == Case("tensorrt", "int8", 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "openvino",
        "openvino-int8",
        "openvino-int8-b0",
        "openvino-int8-b04",
        "openvino-int8-4",
        "openvino-int7-b4",
        "int8-b4",
        "-int8-b4",
        "OpenVINO-int8-b4",
        "openvino-int8-b4 ",
        "test[openvino-int8-b4]",
    ],
)
def test_text_that_names_no_case_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="not a case id") as caught:
        parse_case(text)
    assert repr(text) in str(caught.value)
    assert "openvino-int8-b4" in str(caught.value)


def test_arithmetic_is_the_number_format_whatever_the_calibration() -> None:
    formats = {precision: Case("tensorrt", precision, 1).arithmetic for precision in PRECISIONS}
    assert {name for name, kind in formats.items() if kind == "int8"} == {
        "int8",
        "int8-entropy",
        "int8-percentile",
        "int8-uncalibrated",
    }
    assert all(formats[name] == name for name in ("fp32", "tf32", "fp16", "bf16"))


def test_cases_sort_by_backend_then_precision_then_batch() -> None:
    cases = [Case("torch", "fp32", 1), Case("openvino", "int8", 10), Case("openvino", "int8", 9)]
    assert [case.id for case in sorted(cases)] == ["openvino-int8-b9", "openvino-int8-b10", "torch-fp32-b1"]
