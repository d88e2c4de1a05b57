"""A stored baseline is printed whole: a line per case with its spread, who accepted it, and its waivers."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import bench.commands.baseline
from bench.__main__ import main
from bench.baseline import save_baseline
from bench.entries import BaselineEntry, Record, Waiver
from tests.bench.runs import MACHINE
from tests.bench.spreads import FIRST, FP16, FP32, INT8, LATER, baseline_of, changed, entry_of, logs, ran

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def show(path: Path, capsys: pytest.CaptureFixture[str], *entries: BaselineEntry) -> list[str]:
    """Return the lines that the command prints of a file with these entries."""
    save_baseline(baseline_of(*entries), path)
    assert main(["baseline", "show", "--baseline", str(path)]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def row(lines: Sequence[str], case: str) -> list[str]:
    """Return the cells of a case's line."""
    (found,) = [line.split() for line in lines if line.startswith(f"{case} ")]
    return found[1:]


def test_command_prints_a_line_per_case_with_its_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = entry_of(ran(100.0), ran(101.0), ran(103.0))
    builds = entry_of(
        *(ran(fps, engine, FP32, fp32=changed(0, 1, 0.001 * (engine == "b")))
          for engine, fps in zip("aab", (10.0, 10.1, 11.0), strict=True)), case=FP32,
    )  # fmt: skip
    untold = entry_of(ran(50.0, "", FP16), ran(51.0, "", FP16), case=FP16)
    lines = show(tmp_path / "machine.json", capsys, first, builds, untold)
    assert lines[0] == f"{MACHINE['id']}: 3 entries"
    assert "tiny on built-in held-out, accepted 2030-06-01 by ada from c0ffee: first light" in lines
    within = statistics.stdev(logs(100, 101, 103))
    assert row(lines, INT8) == ["101.0", "3", "1", f"{100 * within:.2f}", "-", "0", "-"]
    means = statistics.fmean(logs(10, 10.1)), math.log(11)
    apart = [f"{100 * value:.2f}" for value in (statistics.stdev(logs(10, 10.1)), statistics.stdev(means))]
    assert row(lines, FP32) == ["10.1", "3", "2", *apart, "0", "0.001000"]
    assert row(lines, FP16) == ["50.5", "2", "?", f"{100 * statistics.stdev(logs(50, 51)):.2f}", "-", "0", "-"]
    assert any(line.startswith("- Between builds the FPS of") for line in lines)


def test_cases_accepted_apart_or_of_other_models_are_shown_and_summed_up_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = [entry_of(ran(100.0, case=case), ran(100.1, case=case), case=case) for case in (INT8, FP32)]
    late = entry_of(ran(90.0), ran(99.0), accepted=LATER, model_digest="m2")
    lines = show(tmp_path / "machine.json", capsys, late, *quiet)
    heads = [line for line in lines if "accepted" in line]
    assert heads == [
        "tiny (m1) on built-in held-out, accepted 2030-06-01 by ada from c0ffee: first light",
        "tiny (m2) on built-in held-out, accepted 2030-07-01 by bob from decade: batch 4",
    ]
    assert lines.index(heads[0]) < lines.index(heads[1]) < lines.index("All together:")
    text = " ".join(lines)
    assert "FPS differed by 0.07 to 0.07 %" in text.partition(heads[1])[0]
    assert f"FPS differed by 0.07 to {100 * statistics.stdev(logs(90, 99)):.2f} %" in text.partition("All together:")[2]


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"model_digest": "m2"}, "tiny (m2) on built-in held-out,"),
        ({"model": "unet", "model_digest": "m2"}, "unet on built-in held-out,"),
        ({"images_digest": "i2"}, "tiny on built-in held-out (i2),"),
    ],
)
def test_models_and_images_that_were_accepted_together_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], head: str
) -> None:
    plain = entry_of(ran(100.0), ran(101.0))
    entries = [plain, replace(plain, **changes)]  # type: ignore[arg-type] # texts, all of them
    heads = [line for line in show(tmp_path / "machine.json", capsys, *entries) if "accepted" in line]
    assert len(heads) == 2
    assert any(line.startswith(head) for line in heads)


def test_drift_since_the_anchor_and_waivers_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anchor = Record(FIRST, (ran(125.0), ran(125.0)))
    entry = entry_of(ran(100.0), ran(100.0), anchor=anchor, accepted=LATER)
    path = tmp_path / "machine.json"
    baseline = baseline_of(entry, entry_of(ran(9.0), ran(9.0), case=FP32))
    save_baseline(replace(baseline, waivers=(Waiver(INT8, 0.1, "known", "2031-01-01", "ada"),)), path)
    assert main(["baseline", "show", "--baseline", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert row(lines, INT8)[-1] == "-20.0%"
    assert row(lines, FP32)[-1] == "-"
    assert lines[-1] == f"waived: {INT8} to -10% until 2031-01-01 by ada: known"


def test_nothing_is_cut_off_or_wider_than_100_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = "torch2trt-int8-uncalibrated-b64"
    runs = [ran(fps, engine, case, fp32=changed(0, 1, by))
            for fps, engine, by in ((12621.2, "a", 0), (22621.2, "a", 0.001), (9621.0, "b", 0.002))]  # fmt: skip
    long = replace(FIRST, why="because of a reason that takes more than a line of any terminal " * 3)
    entry = entry_of(*runs, case=case, accepted=long, anchor=Record(FIRST, (ran(10000.0, case=case),)))
    lines = show(tmp_path / "machine.json", capsys, entry)
    assert max(map(len, lines)) <= 100
    cells = row(lines, case)
    assert len(cells) == 8
    assert (cells[0], cells[-2], cells[-1]) == ("12621.2", "0.001500", "+26.2%")


def test_every_stored_file_is_shown_where_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.commands.baseline, "FOLDER", tmp_path)
    assert main(["baseline", "show"]) == 2
    assert capsys.readouterr().err == f"refused: no baseline file in {tmp_path}: name one (--baseline FILE)\n"
    for name, machine in (("c", "third"), ("a", "first"), ("d", "fourth"), ("b", "second")):
        found = baseline_of(entry_of(ran(100.0), ran(101.0)))
        save_baseline(replace(found, machine={**MACHINE, "id": machine}), tmp_path / f"{name}.json")
    assert main(["baseline", "show"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.endswith(": 1 entry")]
    assert heads == [f"{name}: 1 entry" for name in ("first", "second", "third", "fourth")]
    (tmp_path / "b.json").write_text("{}")
    assert main(["baseline", "show"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"refused: {tmp_path / 'b.json'}: not a baseline; ")


def test_empty_baseline_is_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path / "machine.json", capsys) == [f"{MACHINE['id']}: 0 entries"]
