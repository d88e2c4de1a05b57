"""Verdicts become the lines by which GitHub marks a run: escaped, at the case's entry, the worst of many first."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import bench.commands.gate
from bench.__main__ import main
from bench.annotations import command, github
from bench.baseline import save_baseline
from bench.entries import Waiver
from bench.status import Status, Verdict
from tests.bench.runs import MACHINE, baseline_of, row_json, run_json, write

if TYPE_CHECKING:
    from pathlib import Path

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This checkout's baseline of the machine of the runs, with two cases."""
    monkeypatch.setattr(bench.commands.gate, "_ROOT", tmp_path)
    monkeypatch.setattr(bench.commands.gate, "FOLDER", tmp_path / "fixtures" / "baselines")
    path = tmp_path / "fixtures" / "baselines" / f"{MACHINE['id']}.json"
    save_baseline(baseline_of(row_json(FP32), row_json(INT8)), path)
    return path


def commands(text: str) -> list[str]:
    return [each for each in text.splitlines() if each.startswith("::")]


def test_regressed_case_is_an_error_at_its_entry_of_the_baseline(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(FP32), row_json(INT8, fps=50.0)))
    assert main(["gate", str(run), "--annotate", "github"]) == 1
    (found,) = commands(capsys.readouterr().out)
    match = re.fullmatch(r"::error file=(.+),line=(\d+),title=REGRESSION openvino-int8-b4::(FPS 100.+)", found)
    assert match, found
    assert match[1] == f"fixtures/baselines/{MACHINE['id']}.json"
    assert stored.read_text().splitlines()[int(match[2]) - 1].strip() == f'"case": "{INT8}",'
    assert "-50.0%25 (" in match[3]


def test_waiver_of_a_case_is_not_taken_for_its_entry(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    waiver = Waiver(INT8, 0.1, "known", "2031-01-01", "ada")
    save_baseline(replace(baseline_of(row_json(FP32), row_json(INT8)), waivers=(waiver,)), path)
    (found,) = github([Verdict(INT8, Status.REGRESSION, "why")], path, tmp_path)
    lines = path.read_text().splitlines()
    number = int(found.partition(",line=")[2].partition(",")[0])
    assert lines[number - 1].strip() == f'"case": "{INT8}",'
    assert number > lines.index(' "entries": [')


def test_clean_run_is_annotated_with_nothing(tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(FP32), row_json(INT8)))
    assert main(["gate", str(run), "--annotate", "github"]) == 0
    assert commands(capsys.readouterr().out) == []


def test_annotations_are_printed_only_when_asked_for(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(FP32), row_json(INT8, fps=50.0)))
    assert main(["gate", str(run)]) == 1
    assert commands(capsys.readouterr().out) == []


@pytest.mark.parametrize(("strict", "level"), [([], "warning"), (["--strict"], "error")])
def test_cases_left_open_are_one_line_and_an_error_where_they_fail_the_run(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str], strict: list[str], level: str
) -> None:
    stored.unlink()
    run = write(tmp_path / "run.json", run_json(row_json(FP32), row_json(INT8)))
    assert main(["gate", str(run), "--annotate", "github", *strict]) == len(strict)
    (found,) = commands(capsys.readouterr().out)
    assert found.startswith(f"::{level} title=2 NO_BASELINE::{INT8}: 100.0 FPS")
    assert f"%0A{FP32}: " in found


def test_run_that_cannot_be_judged_is_an_error(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run.json"
    assert main(["gate", str(run), "--annotate", "github"]) == 2
    (found,) = commands(capsys.readouterr().out)
    assert found.startswith(f"::error title=cannot judge::{run}")


def test_name_cannot_end_a_line_or_begin_a_command_or_a_property() -> None:
    assert command("error", "a,b:c%", "x%\n::error::y\r", "f,g.json", 3) == (
        "::error file=f%2Cg.json,line=3,title=a%2Cb%3Ac%25::x%25%0A::error::y%0D"
    )


def test_of_more_errors_than_github_shows_the_worst_are_told_and_the_others_counted(tmp_path: Path) -> None:
    statuses = [Status.FAILED] * 8 + [Status.MISSING] * 4 + [Status.REGRESSION] * 3
    verdicts = [Verdict(f"torch-fp32-b{number + 1}", status, "why") for number, status in enumerate(statuses)]
    found = github(verdicts, None, tmp_path)
    titles = [each.partition("title=")[2].partition(" ")[0] for each in found]
    assert titles == ["REGRESSION"] * 3 + ["MISSING"] * 4 + ["FAILED"] * 2 + ["and"]
    assert "::6 more cases" in found[-1]


def test_baseline_outside_the_checkout_is_no_place_to_mark(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.json"
    save_baseline(baseline_of(row_json(INT8)), outside)
    (found,) = github([Verdict(INT8, Status.MISSING, "why")], outside, tmp_path / "checkout")
    assert found == f"::error title=MISSING {INT8}::why"
