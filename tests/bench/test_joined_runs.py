"""Files of one machine, model and image set make one table each, and every cell tells which files it is of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.tables import section
from tests.bench.runs import row_json, run_json, write
from tests.bench.tabled import LATER, cells, machine, stream, tables

if TYPE_CHECKING:
    from pathlib import Path


def over(row: dict[str, Any], base: float) -> dict[str, Any]:
    """Return a row with its speed-up over a reference of so many FPS."""
    info = row["extra_info"]
    info |= {"speedup": info["fps"] / base, "speedup_over": f"torch-fp32-b{info['batch_size']}"}
    return row


@pytest.fixture
def several(tmp_path: Path) -> list[Path]:
    """Files of one machine: TensorRT under one Python, later ONNX Runtime under another, and streams of both."""
    old, new, reason = machine("3.10.13"), machine("3.12.4"), "tensorrt: No module named 'tensorrt'"
    first = [over(row_json("torch-fp32-b1", 100.0), 100.0), over(row_json("tensorrt-fp16-b1", 1500.0), 100.0)]
    second = [over(row_json("torch-fp32-b1", 125.0), 125.0), over(row_json("onnxruntime-fp16-b1", 500.0), 125.0)]
    data = [
        run_json(*first, machine=old, skipped={"onnxruntime-fp16-b1": "a CPU build", "openvino": "not here"}),
        run_json(*second, machine=new, skipped={"tensorrt": reason}, measured=LATER),
    ]
    streams = [
        (old, [stream("tensorrt-fp16-b1", 1400.0)]),
        (old, [stream("tensorrt-fp16-b1", 1450.0, samples=10_000, done=10_000, runtime_s=6.9, share_of_engine=0.97)]),
        (old, [stream("tensorrt-fp16-b8", 1490.0), stream("torch-fp32-b8", 90.0)]),
        (new, [stream("onnxruntime-fp16-b1", 480.0, samples=10_000, done=10_000, runtime_s=120.04)]),
    ]
    for place, rows in streams:
        data.append(run_json(machine=place))
        data[-1]["benchmarks"] = rows
    return [write(tmp_path / f"{number}.json", each) for number, each in enumerate(data)]


def test_files_of_one_machine_and_model_are_one_table_each(several: list[Path]) -> None:
    lines = section(several, lambda path: path.name).splitlines()
    assert lines[0] == "**tiny on 3 images (built-in held-out, 64x64), AMD EPYC, 2 threads**, from"
    assert lines[2] == "1. `0.json`, `2.json`, `3.json`, `4.json` (2030-06-15, python 3.10.13, torch 1.0, tensorrt 1.0)"
    assert lines[3].startswith("2. `1.json`, `5.json` (2030-06-15, python 3.12.4, torch 1.0")
    assert len([line for line in lines if line.startswith("| ---")]) == 3
    assert cells(lines, "onnxruntime fp16<sup>2</sup>")[0] == ["500.0", "4.00", "0.99233"]
    assert cells(lines, "tensorrt fp16")[0] == ["1500", "15.00", "0.99233"]
    assert cells(lines, "torch fp32<sup>2</sup>")[0] == ["125.0", "1.00", "1.00000"]
    assert "| stream | 1000 b1 | 1000 b8 | 10000 b1 | share of engine | cold start s |" in lines
    assert cells(lines, "tensorrt fp16")[-1] == [
        "1400<br>0.71&nbsp;s", "1490<br>0.67&nbsp;s", "1450<br>6.90&nbsp;s", "97.0% to 98.5%", "1.2",
    ]  # fmt: skip
    assert cells(lines, "onnxruntime fp16<sup>2</sup>")[-1] == ["-", "-", "480.0<br>120.0&nbsp;s", "98.5%", "1.2"]
    assert [line for line in lines if line.startswith("- Not")] == ["- Not run: openvino (not here)."]


def test_runs_calibrated_on_other_images_have_tables_of_their_own(tmp_path: Path) -> None:
    row = [row_json("openvino-int8-b1", fps) for fps in (200.0, 210.0)]
    mine = {"origin": "folder mine", "digest": "c2", "count": 2, "note": None}
    data = [run_json(row[0]), run_json(row[1], calibration=mine)]
    found = tables(*(write(tmp_path / f"{number}.json", each) for number, each in enumerate(data)))
    assert [line.partition("threads, ")[2].partition("**")[0] for line in found if line.startswith("**")] == [
        "INT8 calibrated on built-in calibration",
        "INT8 calibrated on folder mine",
    ]
    assert [each[0] for each in cells(found, "openvino int8")][::2] == ["200.0", "210.0"]


def test_runs_without_calibration_images_have_tables_of_their_own_too(tmp_path: Path) -> None:
    data = [run_json(row_json("torch-fp32-b1"), calibration={}), run_json(row_json("torch-fp32-b1"))]
    found = tables(*(write(tmp_path / f"{number}.json", each) for number, each in enumerate(data)))
    assert [line.partition("threads, ")[2].partition("**")[0] for line in found if line.startswith("**")] == [
        "INT8 calibrated on no images",
        "INT8 calibrated on built-in calibration",
    ]


def test_speed_up_is_over_the_same_file_s_reference_or_none(several: list[Path]) -> None:
    data = json.loads(several[1].read_text())
    data["benchmarks"] = data["benchmarks"][1:]
    data["suite"]["selected"] = ["onnxruntime-fp16-b1"]
    lines = section([several[0], write(several[1], data)], lambda path: path.name).splitlines()
    assert cells(lines, "onnxruntime fp16<sup>2</sup>")[0] == ["500.0", "-", "0.99233"]


def test_same_case_of_two_files_is_one_line_with_each_figure_of_one_file(tmp_path: Path) -> None:
    def rows(fps: dict[int, float], base: float, **changes: Any) -> list[dict[str, Any]]:
        both = [(row_json(f"torch-fp32-b{size}", base), row_json(f"torch-fp16-b{size}", fps[size])) for size in fps]
        for _, fast in both:
            fast["extra_info"] |= changes
        return [over(row, base) for pair in both for row in pair]

    old = run_json(*rows({1: 300.0, 4: 350.0, 8: 400.0}, 100.0, build_s=9.0), machine=machine("3.10.13"))
    new = run_json(
        *rows({1: 250.0}, 125.0, peak_memory_bytes=70 * 2**20, build_s=8.0), machine=machine("3.12.4"), measured=LATER
    )
    new["benchmarks"][1]["extra_info"]["dice_fp32"]["mean"] = 0.98
    # The name that sorts first is the newer file's.
    lines = tables(write(tmp_path / "a.json", new), write(tmp_path / "b.json", old))
    assert lines[2].startswith("1. `b` (")
    assert lines[3].startswith("2. `a` (")
    assert lines[5].startswith("A raised number says of which files above a scheme's whole line or one figure is; ")
    speed, cost = cells(lines, "torch fp16")
    assert speed[:3] == ["250.0<sup>2</sup>", "350.0", "400.0"]
    assert speed[3:] == ["2.00<sup>2</sup>", "3.50", "4.00", "0.98000 to 0.99233"]
    assert cost == ["0.8767", "70<sup>2</sup>", "50", "50", "8.0<sup>2</sup>", "9.0", "9.0"]
    assert cells(lines, "torch fp32")[0][:4] == ["125.0<sup>2</sup>", "100.0", "100.0", "1.00<sup>2</sup>"]
    assert len([line for line in lines if line.startswith("| torch")]) == 4


def test_figures_not_shown_are_counted_and_stand_in_the_tables_of_their_file_alone(
    several: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = row_json("onnxruntime-fp16-b1", 400.0)
    fast["extra_info"]["dice_fp32"]["mean"] -= 0.0625
    again = write(tmp_path / "again.json", run_json(fast, machine=machine("3.12.4")))
    lines = tables(*several[:2], again)
    assert [line.partition(" (")[0] for line in lines[2:4]] == ["1. `1`", "2. `0`"]
    (note,) = [line for line in lines if "Not shown" in line]
    assert note.startswith("- Of a case in several files the newest figure is shown (`measured` in the file), ")
    assert note.endswith(
        "Not shown: 1 in `0`, 1 in `again`, with 0.80 times the FPS shown and a Dice vs FP32 at most 0.06250 away; "
        "`python -m bench tables FILE` shows one file alone."
    )
    assert main(["tables", str(again)]) == 0
    alone = capsys.readouterr().out
    assert cells(alone.splitlines(), "onnxruntime fp16")[0][0] == "400.0"
    assert "Not shown" not in alone


def test_streams_are_one_line_each_with_the_newest_figure_too(several: list[Path], tmp_path: Path) -> None:
    newer = run_json(machine=machine("3.12.4"), measured=LATER)
    newer["benchmarks"] = [stream("tensorrt-fp16-b1", 1600.0, share_of_engine=0.95, runtime_s=0.625)]
    lines = tables(*several, write(tmp_path / "newer.json", newer))
    assert cells(lines, "tensorrt fp16")[-1] == [
        "1600<sup>2</sup><br>0.62&nbsp;s", "1490<br>0.67&nbsp;s", "1450<br>6.90&nbsp;s", "95.0% to 98.5%", "1.2",
    ]  # fmt: skip
    (note,) = [line for line in lines if "Not shown" in line]
    assert "Not shown: 1 in `0`, 1 in `2`, with 0.80 to 0.88 times the FPS shown and a Dice" in note


def test_a_stream_that_did_no_image_is_shown_only_where_there_is_no_other(several: list[Path], tmp_path: Path) -> None:
    empty = run_json(machine=machine("3.10.13"), measured=LATER)
    empty["benchmarks"] = [stream("torch-fp32-b8", 0.0, partial=True), stream("torch-fp32-b1", 0.0)]
    paths = [write(tmp_path / f"empty{number}.json", empty) for number in range(2)]
    lines = tables(*several[2:], *paths)
    (note,) = [line for line in lines if "Not shown" in line]
    assert "Not shown: 1 in `empty0`, 2 in `empty1`, with 0.00 times the FPS shown; `python" in note
    lines = tables(*paths)
    assert cells(lines, "torch fp32") == [["0.0<br>1.00&nbsp;s", "0.0<br>0 done, partial", "98.5%", "1.2"]]
    (note,) = [line for line in lines if "Not shown" in line]
    assert "Not shown: 2 in `empty1`; `python" in note


def test_a_case_that_failed_since_is_shown_as_an_earlier_run_measured_it(several: list[Path], tmp_path: Path) -> None:
    failed = {"tensorrt-fp16-b1": "OutOfMemoryError: no memory"}
    newer = run_json(row_json("torch-fp16-b1"), machine=machine("3.10.13"), failed=failed, measured=LATER)
    lines = tables(several[0], write(tmp_path / "newer.json", newer))
    assert cells(lines, "tensorrt fp16")[0][0] == "1500"
    assert "- tensorrt-fp16-b1 (measured in an earlier run): OutOfMemoryError: no memory" in lines
    half = run_json(row_json("torch-fp16-b1"), machine=machine("3.10.13"), failed={"torch-fp16-b1": "RuntimeError"})
    assert "- torch-fp16-b1: RuntimeError" in tables(several[0], write(tmp_path / "half.json", half))


def test_a_run_in_which_every_case_failed_is_named_with_the_reason(tmp_path: Path) -> None:
    failed = {"tensorrt-fp16-b1": "OutOfMemoryError: no memory"}
    lines = tables(write(tmp_path / "failed.json", run_json(machine=machine("3.10.13"), failed=failed)))
    assert lines[0].endswith(", python 3.10.13, torch 2.11.0; from `failed`.")
    assert lines[-1] == "- tensorrt-fp16-b1: OutOfMemoryError: no memory"


def test_remarks_are_of_the_rows_shown(several: list[Path], tmp_path: Path) -> None:
    bad = row_json("tensorrt-fp16-b1", 1600.0)
    bad["extra_info"]["dice_fp32"]["mean"] = 0.5
    told = "tensorrt-fp16-b1: Dice against FP32 0.5000 is below its floor"
    for day, count in (("2030-06-14", 0), ("2030-06-16", 1)):
        path = write(tmp_path / "bad.json", run_json(bad, machine=machine("3.10.13"), measured=f"{day}T12:00:00+00:00"))
        assert len([line for line in tables(several[0], path) if told in line]) == count


def test_a_library_that_one_machine_lacked_parts_no_files_but_another_version_does(tmp_path: Path) -> None:
    without, with_it = machine("3.10.13"), machine("3.10.13")
    with_it["runtimes"]["openvino"] = "2026.4.1"
    newer = {**with_it, "runtimes": {**with_it["runtimes"], "openvino": "2026.5.0"}}
    rows = {"torch-fp32-b1": without, "torch-fp32-b4": with_it, "torch-fp32-b8": newer, "torch-fp32-b16": without}
    paths = [
        write(tmp_path / f"{case}.json", run_json(row_json(case, 100.0), machine=place)) for case, place in rows.items()
    ]
    lines = section(paths, lambda path: path.stem).splitlines()
    assert lines[2].startswith("1. `torch-fp32-b1`, `torch-fp32-b4`, `torch-fp32-b16` (")
    assert "openvino 2026.4.1" in lines[2]
    assert lines[3].startswith("2. `torch-fp32-b8` (")
    assert "openvino 2026.5.0" in lines[3]


def test_another_version_of_what_a_row_ran_on_parts_files(several: list[Path], tmp_path: Path) -> None:
    upgraded = row_json("tensorrt-fp16-b4", 1600.0)
    upgraded["extra_info"]["versions"] = {**upgraded["extra_info"]["versions"], "tensorrt": "2.0"}
    again = write(tmp_path / "again.json", run_json(upgraded, machine=machine("3.10.13")))
    lines = section([several[0], again], lambda path: path.name).splitlines()
    assert "tensorrt 1.0" in lines[2]
    assert "tensorrt 2.0" in lines[3]
    assert cells(lines, "tensorrt fp16")[0][:4] == ["1500", "1600<sup>2</sup>", "15.00", "-"]


def test_models_and_image_sets_are_not_joined(several: list[Path], tmp_path: Path) -> None:
    other = run_json(row_json("torch-fp32-b1"), machine=machine("3.10.13"))
    other["suite"]["images"] = {**other["suite"]["images"], "digest": "another"}
    lines = section([several[0], write(tmp_path / "other.json", other)], lambda path: path.name).splitlines()
    assert len([line for line in lines if line.startswith("**tiny")]) == 2
    assert not any("<sup>" in line for line in lines)


def test_schemes_that_no_stream_holds_are_told(several: list[Path]) -> None:
    lines = section(several[:3], lambda path: path.name).splitlines()
    assert "- Not streamed: torch fp32, onnxruntime fp16." in lines
    assert not any("Not streamed" in line for line in tables(*several[:2]))


def test_files_that_agree_need_no_numbers_and_streams_alone_no_table_of_rows(several: list[Path]) -> None:
    lines = tables(*several[2:5])
    assert lines[2].startswith("1. `2`, `3`, `4` (")
    assert [line for line in lines if line.startswith("| s")] == [
        "| stream | 1000 b1 | 1000 b8 | 10000 b1 | share of engine | cold start s |"
    ]
    assert not any(line.startswith(("A raised number", "A line is")) for line in lines)


def test_runs_on_a_gpu_tell_the_cores_beside_it(tmp_path: Path) -> None:
    place = {**machine("3.12.4"), "gpu": "NVIDIA H100", "cores": 16}
    path = write(tmp_path / "run.json", run_json(row_json("torch-fp32-b1"), machine=place))
    assert ", NVIDIA H100**, 2030-06-15, 16 CPU cores, python 3.12.4, " in section([path], lambda each: each.name)
