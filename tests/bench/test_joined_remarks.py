"""Below the tables of several files stands what failed and what was not run, as all of them together know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.runs import row_json, run_json, write
from tests.bench.tabled import LATER, stream, tables

if TYPE_CHECKING:
    from pathlib import Path

CPU_BUILD, NO_INT8 = "a CPU build", "it has no INT8 convolution"


def not_run(tmp_path: Path, *runs: dict[str, Any]) -> list[str]:
    """Return what the tables of runs say was not run."""
    lines = tables(*(write(tmp_path / f"{number}.json", each) for number, each in enumerate(runs)))
    return [line.removeprefix("- Not run: ") for line in lines if line.startswith("- Not run")]


@pytest.mark.parametrize(
    ("hours", "when"),
    [((10,), "an earlier"), ((14,), "a later"), ((12,), "another"), ((10, 14), "a later"), ((10, 12), "another")],
)
def test_a_failure_tells_when_the_case_was_measured_all_the_same(
    hours: tuple[int, ...], when: str, tmp_path: Path
) -> None:
    case = "torch-fp16-b1"
    paths = [write(tmp_path / "failed.json", run_json(failed={case: "RuntimeError: broke"}))]
    for hour in hours:
        data = run_json(measured=f"2030-06-15T{hour}:00:00+00:00")
        data["benchmarks"] = [stream(case, 100.0, samples=hour)]
        paths.append(write(tmp_path / f"{hour}.json", data))
    assert f"- {case} (measured in {when} run): RuntimeError: broke" in tables(*paths)
    assert f"- {case} (measured in {when} run): RuntimeError: broke" in tables(*reversed(paths))


def test_a_failure_beside_the_same_run_s_figure_tells_only_what_that_is_not(tmp_path: Path) -> None:
    def note(half: dict[str, Any], *rows: dict[str, Any]) -> str:
        data = run_json(failed={case: "RuntimeError: broke"})
        data["benchmarks"] = [half]
        other = run_json(measured=LATER)
        other["benchmarks"] = list(rows)
        lines = tables(write(tmp_path / "half.json", data), write(tmp_path / "other.json", other))
        (found,) = [line for line in lines if "RuntimeError" in line]
        return found.removeprefix(f"- {case}").removesuffix(": RuntimeError: broke")

    case = "torch-fp16-b1"
    timed, long, short = row_json(case), stream(case, 100.0, samples=2000), stream(case, 100.0)
    assert note(timed, short) == " (streamed in a later run)"
    assert note(long, timed) == " (timed in a later run)"
    assert note(long, timed, short) == " (timed in a later run)"
    assert note(long, short) == ""
    assert note(timed, timed) == " (measured in a later run)"


def test_why_a_scheme_was_not_run_is_told_by_a_file_with_figures_of_its_backend(tmp_path: Path) -> None:
    lacking = run_json(row_json("torch-fp32-b1"), skipped={"onnxruntime-int8-b1": CPU_BUILD, "openvino": "not here"})
    own = {"onnxruntime-int8-b1": NO_INT8, "onnxruntime-int8-b4": NO_INT8}
    timed = run_json(row_json("onnxruntime-fp32-b1"), skipped=own)
    streamed = run_json(skipped=own)
    streamed["benchmarks"] = [stream("onnxruntime-fp32-b1", 100.0)]
    for each in (timed, streamed):
        assert not_run(tmp_path, lacking, each) == [f"onnxruntime int8 ({NO_INT8}); openvino (not here)."]
        assert not_run(tmp_path, each, lacking) == [f"onnxruntime int8 ({NO_INT8}); openvino (not here)."]


def test_a_reason_given_of_what_another_file_ran_is_no_reason(tmp_path: Path) -> None:
    skipped = {"onnxruntime-fp32-b1": CPU_BUILD, "onnxruntime-int8-b1": CPU_BUILD, "tensorrt-bf16-b1": CPU_BUILD}
    lacking = run_json(row_json("torch-fp32-b1"), skipped=skipped)
    ran = run_json(row_json("onnxruntime-fp32-b1"))
    other = run_json(skipped={"onnxruntime-int8-b1": CPU_BUILD})
    none = "onnxruntime int8 (not tried where onnxruntime ran)"
    assert not_run(tmp_path, lacking) == ["onnxruntime fp32, onnxruntime int8, tensorrt bf16 (a CPU build)."]
    assert not_run(tmp_path, lacking, other, ran) == [f"{none}; tensorrt bf16 (a CPU build)."]
    told = run_json(skipped={"onnxruntime-int8-b1": NO_INT8})
    assert not_run(tmp_path, lacking, told, ran) == [f"onnxruntime int8 ({NO_INT8}); tensorrt bf16 (a CPU build)."]
    ran["suite"]["skipped"] = {"onnxruntime-int8-b1": CPU_BUILD}
    assert not_run(tmp_path, lacking, ran) == ["onnxruntime int8, tensorrt bf16 (a CPU build)."]
    assert not_run(tmp_path, ran, lacking) == ["onnxruntime int8, tensorrt bf16 (a CPU build)."]
