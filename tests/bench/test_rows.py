"""A row's speed-up is over the FP32 reference of its batch size, where that one ran."""

from __future__ import annotations

from typing import Any

import pytest

from bench.case import Case
from bench.rows import add_speedups

REFERENCE = Case("torch", "fp32", 1)


def row(backend: str, precision: str, batch_size: int, fps: float) -> dict[str, Any]:
    case = Case(backend, precision, batch_size)
    return {
        "case": case.id, "backend": backend, "precision": precision, "batch_size": batch_size,
        "samples_s": [batch_size / fps], "fps": fps, "speedup": None, "speedup_over": None,
    }  # fmt: skip


def test_speedup_is_over_the_reference_of_the_same_batch_size() -> None:
    rows = [
        row("torch", "fp32", 1, 10.0),
        row("torch", "fp32", 4, 20.0),
        row("torch", "fp16", 1, 40.0),
        row("openvino", "fp32", 4, 30.0),
        row("openvino", "int8", 8, 50.0),
    ]
    add_speedups(rows, REFERENCE)
    assert [each["speedup"] for each in rows] == [1.0, 1.0, 4.0, 1.5, None]
    over = ["torch-fp32-b1", "torch-fp32-b4", "torch-fp32-b1", "torch-fp32-b4", None]
    assert [each["speedup_over"] for each in rows] == over


def test_fps_and_speedup_of_what_was_timed_again_are_over_all_its_processes() -> None:
    rows = [row("torch", "fp32", 1, 8.0), row("openvino", "int8", 1, 4.0)]
    rows[1] |= {"reruns": [{"samples_s": [1 / fps]} for fps in (32.0, 64.0)]}
    add_speedups(rows, REFERENCE)
    assert [round(each["fps"], 3) for each in rows] == [8.0, 32.0]
    assert rows[1]["speedup"] == pytest.approx(4.0)
