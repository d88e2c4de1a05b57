"""`python -m bench baseline` stores, waives and drops, refuses in one line, and loses no other's change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from bench.__main__ import main
from bench.baseline import load_baseline, save_baseline
from tests.bench.runs import baseline_of, row_json, run_json, scores, write

ROOT = Path(__file__).parents[2]
INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three runs as files."""
    made = []
    for number, factor in enumerate((0.998, 1.0, 1.002)):
        data = run_json(row_json(INT8, fps=100 * factor), commit="c0ffee")
        made.append(str(write(tmp_path / f"run{number}.json", data)))
    return made


def test_command_accepts_shows_waives_and_drops(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "machine.json"
    to = ("--baseline", str(path), "--who", "ada")
    assert main(["baseline", "accept", *files, *to, "--reason", "first light"]) == 0
    waive = ("baseline", "waive", INT8, "--limit", "0.1", "--expires", "2031-01-01")
    assert main([*waive, *to]) == 2
    assert 'waive needs --reason "..."' in capsys.readouterr().err
    assert main([*waive, *to, "--reason", "known"]) == 0
    assert main(["baseline", "show", "--baseline", str(path)]) == 0
    text = capsys.readouterr().out
    assert [INT8, "100.0", "3"] in [line.split()[:3] for line in text.splitlines()]
    assert "by ada from c0ffee: first light" in text
    assert f"waived: {INT8} to -10% until 2031-01-01 by ada: known" in text
    assert main(["baseline", "accept", *files, *to, "--cases", "openvino-int8-b9", "--reason", "x"]) == 2
    assert f"run 1 did not measure openvino-int8-b9; it holds {INT8}" in capsys.readouterr().err
    assert main(["baseline", "accept", *files, *to, "--cases", INT8, "--reason", "one alone"]) == 0
    assert main(["baseline", "drop", INT8, "--baseline", str(path)]) == 0
    stored = load_baseline(path)
    assert stored is not None
    assert (stored.entries, stored.waivers) == ({}, ())


@pytest.mark.parametrize("action", ["pin", "drop"])
def test_what_the_file_would_not_keep_is_not_asked_for(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["baseline", action, INT8, "--baseline=machine.json", "--reason=x"])
    assert "unrecognized arguments: --reason=x" in capsys.readouterr().err


def test_waiver_ends_on_a_day_to_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "machine.json"
    save_baseline(baseline_of(row_json(INT8)), path)
    waive = ["baseline", "waive", INT8, "--limit=0.1", "--baseline", str(path), "--reason=x", "--who=ada"]
    assert main([*waive, "--expires=2020-01-01"]) == 2
    assert capsys.readouterr().err == "refused: --expires 2020-01-01: that day is over\n"
    with pytest.raises(SystemExit):
        main([*waive, "--expires=2030-13-01"])
    assert "'2030-13-01' is no day; write it as 2030-12-31" in capsys.readouterr().err


def test_command_refuses_with_one_line_and_leaves_the_file_as_it_was(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "machine.json"
    assert main(["baseline", "accept", *files[:2], "--baseline", str(path)]) == 2
    assert not path.exists()
    save_baseline(baseline_of(row_json(INT8, dice_fp32=scores([[1.0, 1.0]] * 3))), path)
    before = path.read_text()
    assert main(["baseline", "accept", *files, "--baseline", str(path)]) == 2
    assert main(["baseline", "accept", *files, "--baseline", str(path), "--cases", "", "--reason", "x"]) == 2
    assert main(["baseline", "drop", "torch-fp16-b1", "--baseline", str(path)]) == 2
    for limit in ("0", "1.5"):
        given = ("--limit", limit, "--expires", "2031-01-01", "--baseline", str(path), "--reason", "x")
        assert main(["baseline", "waive", INT8, *given]) == 2
    errors = capsys.readouterr().err
    assert errors.count("refused: ") == 6
    assert "worse than the baseline" in errors
    assert path.read_text() == before


def test_file_that_cannot_be_written_and_user_without_a_name_are_one_line_each(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    within = f"{files[0]}/machine.json"
    assert main(["baseline", "accept", *files, "--baseline", within, "--who", "ada"]) == 2
    assert capsys.readouterr().err.startswith(f"refused: {within}: it cannot be written (")

    def nobody() -> str:
        msg = "getpwuid(): uid not found: 4242"
        raise KeyError(msg)

    monkeypatch.setattr("getpass.getuser", nobody)
    assert main(["baseline", "accept", *files, "--baseline", str(tmp_path / "machine.json")]) == 2
    assert capsys.readouterr().err == "refused: this user has no name here: give --who NAME\n"


def test_two_changes_at_once_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    save_baseline(baseline_of(row_json(INT8), row_json(FP32)), path)
    command = [sys.executable, "-m", "bench", "baseline", "waive", "--limit=0.1", "--expires=2031-01-01", "--reason=x"]
    with FileLock(tmp_path / ".machine.json.lock"):
        waiving = [
            subprocess.Popen([*command, case, "--baseline", str(path), "--who=ada"], cwd=ROOT, stdout=subprocess.PIPE)
            for case in (INT8, FP32)
        ]
        with pytest.raises(subprocess.TimeoutExpired):
            waiving[0].wait(2)
    for process in waiving:
        process.communicate()
    stored = load_baseline(path)
    assert stored is not None
    assert [waiver.case for waiver in stored.waivers] == [INT8, FP32]
