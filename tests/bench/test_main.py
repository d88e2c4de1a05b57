"""`python -m bench gate` recomputes the verdicts from files alone, and its exit status says what came out."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bench.commands.gate
from bench.__main__ import main, summaries
from bench.baseline import save_baseline
from tests.bench.runs import MACHINE, baseline_of, row_json, run_json, write

ROOT = Path(__file__).parents[2]
INT8 = "openvino-int8-b4"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of baselines, with one for the machine of the runs."""
    monkeypatch.setattr(bench.commands.gate, "FOLDER", tmp_path / "baselines")
    path = tmp_path / "baselines" / f"{MACHINE['id']}.json"
    save_baseline(baseline_of(row_json(INT8)), path)
    return path


def test_clean_run_exits_with_0_and_prints_each_verdict(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8), row_json("torch-fp32-b1")))
    assert main(["gate", str(run)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["PASS", INT8]
    assert second.split()[:2] == ["NO_BASELINE", "torch-fp32-b1"]


@pytest.mark.parametrize("change", ["slower", "missing", "failed"])
def test_regression_missing_or_failed_case_exits_with_1(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    data = {
        "slower": run_json(row_json(INT8, fps=50.0)),
        "missing": run_json(selected=[INT8]),
        "failed": run_json(selected=[INT8], failed={INT8: "out of memory"}),
    }[change]
    assert main(["gate", str(write(tmp_path / "run.json", data))]) == 1
    status = {"slower": "REGRESSION", "missing": "MISSING", "failed": "FAILED"}[change]
    assert capsys.readouterr().out.split()[:2] == [status, INT8]


def test_allowed_loss_is_an_option(tmp_path: Path, stored: Path) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8, fps=85.0)))
    assert main(["gate", str(run)]) == 1
    assert main(["gate", str(run), "--max-fps-drop", "0.2"]) == 0


def test_baseline_can_be_named(tmp_path: Path, stored: Path) -> None:
    other = tmp_path / "other.json"
    save_baseline(baseline_of(row_json(INT8, fps=500.0)), other)
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    assert main(["gate", str(run)]) == 0
    assert main(["gate", str(run), "--baseline", str(other)]) == 1


def test_machine_without_a_baseline_is_judged_by_the_floors(tmp_path: Path, stored: Path) -> None:
    stored.unlink()
    assert main(["gate", str(write(tmp_path / "run.json", run_json(row_json(INT8))))]) == 0


@pytest.mark.parametrize(
    "fault", ["run is gone", "run is cut", "run is foreign", "run is edited", "baseline is gone", "baseline is bad"]
)
def test_files_that_cannot_be_judged_exit_with_2_and_one_line(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    run, baseline = write(tmp_path / "run.json", run_json(row_json(INT8))), stored
    if fault == "run is gone":
        run.unlink()
    elif fault == "run is cut":
        run.write_text(run.read_text()[:-50])
    elif fault == "run is foreign":
        write(run, {"benchmarks": []})
    elif fault == "run is edited":
        run.write_text(run.read_text().replace("0.995", "0.999", 1))
    elif fault == "baseline is gone":
        baseline.unlink()
    else:
        write(baseline, {"schema": 1})
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"cannot judge: {run if fault.startswith('run') else baseline}: ")


def test_command_runs_from_the_root_without_torch(tmp_path: Path) -> None:
    save_baseline(baseline_of(row_json(INT8)), tmp_path / "baseline.json")
    run = write(tmp_path / "run.json", run_json(row_json(INT8, fps=50.0)))
    command = [sys.executable, "-X", "importtime", "-m", "bench", "gate", str(run)]
    command += ["--baseline", str(tmp_path / "baseline.json")]
    answer = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stdout.startswith("REGRESSION")
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "bench.gate" in imported
    assert not {"torch", "pytest", "onnx", "openvino", "onnxruntime"} & imported


def test_another_machine_s_run_cannot_be_judged_and_exits_with_2(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8), machine={**MACHINE, "cpu": "Intel Xeon"}))
    assert main(["gate", str(run), "--baseline", str(stored)]) == 2
    assert "CPU AMD EPYC -> Intel Xeon" in capsys.readouterr().out


def test_run_without_a_case_cannot_be_judged(tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", str(write(tmp_path / "run.json", run_json()))]) == 2
    assert "the run holds no case" in capsys.readouterr().err


def test_strict_fails_what_has_no_baseline(tmp_path: Path, stored: Path) -> None:
    run = write(tmp_path / "run.json", run_json(row_json("torch-fp32-b1")))
    assert main(["gate", str(run)]) == 0
    assert main(["gate", str(run), "--strict"]) == 1


def test_run_can_be_judged_against_other_runs(tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [write(tmp_path / f"{fps}.json", run_json(row_json(INT8, fps=fps))) for fps in (199.0, 200.0, 201.0)]
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    assert main(["gate", str(run), "--against", *map(str, others)]) == 1
    assert "FPS 200.0 -> 100.0, -50.0%" in capsys.readouterr().out


def test_case_that_was_timed_and_failed_all_the_same_fails_the_gate_as_it_failed_the_session(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8), failed={INT8: "its stream broke"}))
    assert main(["gate", str(run), "--annotate", "github"]) == 1
    verdict, said, annotated = capsys.readouterr().out.splitlines()
    assert verdict.startswith("PASS ")
    assert said == f"- {INT8} was timed, and failed in another way: its stream broke"
    assert annotated == f"::error title=FAILED {INT8}::its stream broke"


def test_run_is_not_judged_against_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, other = (write(tmp_path / f"{fps}.json", run_json(row_json(INT8, fps=fps))) for fps in (100.0, 101.0))
    copy = write(tmp_path / "copy.json", run_json(row_json(INT8)))
    assert main(["gate", str(run), "--against", str(other), str(copy)]) == 2
    told = f"cannot judge: {run}: also given to --against: a run judged against itself cannot differ\n"
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("limit", ["--min-dice=98", "--min-dice=nan", "--max-latency-ms=-1", "--max-memory=nan"])
def test_limit_that_means_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    assert main(["report", str(run), limit, "--out", str(tmp_path / "report.md")]) == 2
    assert f"cannot report: {limit.replace('=', ' ')}: must be" in capsys.readouterr().err


def test_help_lists_every_command_with_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, summary in summaries().items():
        assert summary
        assert f"{name} {summary}" in shown


def test_unknown_command_lists_the_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["gat"])
    assert ended.value.code == 2
    assert "gate" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["configure", "run"])
def test_ctrl_c_ends_any_command_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupted(_argument: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"bench.commands.gate.{where}", interrupted)
    assert main(["gate", "run.json"]) == 130
    assert capsys.readouterr().err == "stopped: bench gate\n"


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), None])
def test_ctrl_c_inside_a_library_s_import_is_told_from_a_library_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cause: BaseException | None
) -> None:
    def imported(name: str) -> None:
        raise ImportError(name) from cause

    monkeypatch.setattr(importlib, "import_module", imported)
    if cause is None:
        with pytest.raises(ImportError, match="gate"):
            main(["gate", "run.json"])
    else:
        assert main(["gate", "run.json"]) == 130
        assert capsys.readouterr().err == "stopped: bench gate\n"


def test_name_of_a_file_that_is_no_text_is_shown_all_the_same() -> None:
    command = [sys.executable, "-m", "bench", "gate", os.fsdecode(b"\xff.json"), "--annotate=github"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    answer = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=strict)
    assert answer.returncode == 2
    assert "\\udcff.json" in answer.stdout


def test_reader_that_has_seen_enough_is_no_fault() -> None:
    stored = next((ROOT / "fixtures" / "baselines").glob("*.json"))
    command = [sys.executable, "-m", "bench", "baseline", "show", "--baseline", str(stored)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("command", [("ranges",), ("variants", "--backend=onnxruntime", "--device=cpu")])
def test_cache_that_cannot_be_written_is_told_in_one_line(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([*command, "--image-size=64", f"--cache-dir={tmp_path / 'file'}"]) == 2
    assert f"{tmp_path / 'file'}: the cache cannot be written (Not a directory)" in capsys.readouterr().err
