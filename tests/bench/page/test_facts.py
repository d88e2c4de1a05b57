"""What the page says of accuracy, machines and what needs attention is what the runs hold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.__main__ import main
from bench.baseline import Baseline, save_baseline
from bench.gate import judge_run
from bench.page.accuracy import pictures
from bench.page.facts import Judged, Limits, facts
from bench.page.fleet import SCHEMES
from bench.page.plots.front import front_plot
from bench.page.render import html, markdown
from bench.page.values import FleetCell
from bench.results import RunFileError
from tests.bench.page.rich import CASES, INT8, facts_of, pictures_json, rich_json, rich_run
from tests.bench.runs import GPU, MACHINE, baseline_of, rounds, row_json, run_of, scores, write

if TYPE_CHECKING:
    from pathlib import Path


def test_spread_is_over_the_images_of_the_smallest_batch() -> None:
    low = row_json("openvino-int8-b8", dice_fp32=scores([[0.9, 0.1]] * 3))
    spreads = facts_of(run_of(low, row_json(INT8), row_json("torch-fp32-b1"))).runs[0].spreads
    assert [each.case for each in spreads] == ["torch-fp32-b1", INT8]
    assert spreads[1].dice == (0.995, 0.99, 0.992)
    assert (spreads[1].worst, spreads[1].median, spreads[1].best) == (0.99, 0.992, 0.995)


def test_picture_counts_what_was_missed_and_added() -> None:
    run = facts_of(rich_run()).runs[0]
    (picture,) = run.pictures
    assert (picture.case, picture.image, picture.missed, picture.added) == (INT8, "b", 64, 16)
    assert picture.dice == 0.99
    assert picture.window == ""
    assert 0 < picture.focus[0] < 50
    assert run.picture_notes == ("Every mask equals its FP32 mask: openvino-fp32-b1, torch-fp32-b1.",)


def test_pictures_that_a_run_left_out_or_lost_are_told_and_none_is_made_up() -> None:
    stored = pictures_json({INT8: 1, "torch-fp32-b1": 0})
    del stored["images"][stored["masks"]["torch-fp32-b1"]["image"]]
    stored["left_out"] = ["openvino-fp32-b1"]
    found, notes = pictures(rich_run(pictures=stored), "run.json")
    assert [picture.case for picture in found] == [INT8]
    assert notes == ("Left out, to keep the run's file small: openvino-fp32-b1.",)


def test_run_without_pictures_says_so_and_a_damaged_picture_is_one_error() -> None:
    assert facts_of(run_of(row_json(INT8))).runs[0].picture_notes == ("This run holds no pictures of its masks.",)
    damaged = pictures_json({INT8: 1})
    damaged["masks"][INT8]["differs"] = "AAAA"
    with pytest.raises(RunFileError, match=f"run.json: the picture of {INT8} cannot be decoded"):
        pictures(rich_run(pictures=damaged), "run.json")


def test_recommendation_names_what_is_faster_and_why_it_was_left_out() -> None:
    text = facts_of(rich_run(), limits=Limits(max_latency_ms=9.0, min_dice=0.9)).runs[0].recommendation
    assert text.startswith(f"{INT8}, with 120.0 FPS the fastest of 1 that the gate did not fail with ")
    assert text.endswith("Faster, and left out: openvino-int8-b4 (26.67 ms a batch).")
    run = run_of(row_json(INT8))
    judged = Judged("run.json", run, judge_run(run, baseline_of(row_json(INT8))))
    assert "the fastest of 1 that passed the gate; " in facts([judged], Limits()).runs[0].recommendation


def test_every_table_in_markdown_has_as_many_cells_in_each_line() -> None:
    other = run_of(*(row_json(f"torch-fp32-b{size}") for size in (1, 4)), machine=GPU)
    lines = markdown(facts_of(rich_run(), other)).splitlines()
    heads = [index for index, line in enumerate(lines) if line.startswith("|--")]
    assert len(heads) > 8
    for index in heads:
        rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[index + 1 :]))
        assert rows
        assert {line.count("|") for line in (lines[index - 1], *rows)} == {lines[index].count("|")}, lines[index - 1]


def test_names_of_the_front_do_not_run_into_each_other() -> None:
    rows = [row_json("openvino-fp32-b1", fps=2.7), row_json("openvino-int8-b1", fps=8.0)]
    rows.append(row_json("onnxruntime-fp32-b1", fps=2.9))
    per_image = [[1.0, 0.99999], [1.0, 1.0], [1.0, 1.0]]
    rows[2]["extra_info"]["dice_fp32"] = scores(per_image)
    drawn = front_plot(facts_of(run_of(*rows)).runs[0], "front")
    named = [case for case in ("openvino-fp32-b1", "onnxruntime-fp32-b1") if f">{case}</text>" in drawn]
    assert named == ["onnxruntime-fp32-b1"]


def test_schemes_of_a_gpu_are_all_listed_and_say_what_was_not_measured() -> None:
    rows = [
        row_json(f"{line}-b1", fps=100.0) for line in ("torch-fp32", "tensorrt-fp16", "torch2trt-int8-uncalibrated")
    ]
    run = run_of(*rows, row_json("torch-fp32-b4", fps=300.0, speedup=3.0), machine=GPU)
    found = facts_of(run).runs[0].schemes
    assert found is not None
    assert found.batch_sizes == (1, 4)
    assert [row.name for row in found.rows] == [name for name, _ in SCHEMES]
    by_name = {row.name: row for row in found.rows}
    assert by_name["torch FP32"].fps == (100.0, 300.0)
    assert by_name["TensorRT FP16"].line == "tensorrt-fp16"
    assert by_name["TensorRT INT8 MinMax"].fps == (None, None)
    assert by_name["torch FP32"].speedups == (None, 3.0)
    missing = "not measured here"
    assert "| torch FP32 | torch-fp32 | 100.0 | 300.0 (3.00x) | 1.00000 | 1.0000 |" in markdown(facts_of(run))
    assert f"| TensorRT INT8 MinMax | tensorrt_weak-int8 | {' | '.join([missing] * 4)} |" in markdown(facts_of(run))
    assert html(facts_of(run)).count(f'<td class="none">{missing}</td>') == 5 * 4 + 2
    assert facts_of(run_of(*rows)).runs[0].schemes is None


def test_fleet_cell_says_why_it_is_empty() -> None:
    other = run_of(row_json("torch-fp32-b1"), machine=GPU, skipped={"openvino": "not installed"}, failed={INT8: "NaN"})
    fleet = facts_of(rich_run(), other).fleet
    assert fleet is not None
    cells = {case: cells[1] for case, cells in fleet.comparisons[0].rows}
    assert cells["torch-fp32-b1"].fps == 100.0
    assert cells[INT8] == FleetCell(None, None, "FAILED", "NaN")
    assert cells["openvino-int8-b4"].why == "not installed"
    assert cells["torch-fp32-b4"].why == "this run was not asked for it"
    same = facts_of(rich_run(), rich_run()).fleet
    assert same is not None
    assert same.comparisons[0].columns == (f"{MACHINE['id']} (run0.json)", f"{MACHINE['id']} (run1.json)")


def test_page_and_markdown_hold_the_same_figures() -> None:
    found = facts_of(rich_run())
    for text in (html(found), markdown(found)):
        for case in CASES:
            assert case in text
        for figure in ("97.0%", "90.00", "50.0%", "6.000", "64 pixels missed, 16 added", "pytest bench/", "0.9920"):
            assert figure in text, figure


def test_what_it_takes_to_repeat_a_run_is_told(tmp_path: Path) -> None:
    save_baseline(baseline_of(row_json(INT8)), tmp_path / "baseline.json")
    run = write(tmp_path / "run.json", rich_json(commit="c0ffee"))
    out = tmp_path / "report.md"
    assert main(["report", str(run), "--baseline", str(tmp_path / "baseline.json"), "--out", str(out)]) == 0
    text = out.read_text()
    for line in (
        "- command: pytest bench/",
        "- commit: c0ffee",
        "digest m1",
        "digest i1",
        "raw data: [run.json](run.json)",
    ):
        assert line in text, line


def test_case_whose_row_passed_and_that_failed_all_the_same_is_told_and_is_no_good_run() -> None:
    run, baseline = run_of(row_json(INT8), failed={INT8: "its stream broke"}), baseline_of(row_json(INT8))
    judged = Judged("run.json", run, judge_run(run, baseline), baseline)
    found = facts([judged], Limits())
    assert found.outcome == "bad"
    assert found.headline == f"No regression found (1 PASS), but {INT8} failed in another way."
    assert f"{INT8} was timed, and failed in another way: its stream broke" in found.runs[0].attention
    assert facts([judged, judged], Limits()).headline == "2 runs: no regression found, 2 failed in another way."


def test_baseline_accepted_without_a_reason_is_told_as_such() -> None:
    run, (key, entry) = run_of(row_json(INT8)), *baseline_of(row_json(INT8)).entries.items()
    current = replace(entry.current, accepted=replace(entry.current.accepted, why=""))
    baseline = Baseline(MACHINE, {key: replace(entry, current=current)})
    found = facts([Judged("run.json", run, judge_run(run, baseline), baseline)], Limits()).runs[0]
    assert found.against == "Judged by the baseline that ada accepted on 2030-06-01 (no reason given)."


def test_baseline_that_held_what_is_missing_is_not_said_to_be_absent() -> None:
    run, baseline = run_of(selected=[INT8]), baseline_of(row_json(INT8))
    found = facts([Judged("run.json", run, judge_run(run, baseline), baseline)], Limits()).runs[0]
    assert found.headline.startswith("1 of 1 cases regressed, failed or vanished (1 MISSING)")
    assert found.against == "Judged by the baseline that ada accepted on 2030-06-01 (first)."


def test_figures_of_a_case_that_was_timed_again_are_over_its_processes() -> None:
    again = [{"samples_s": rounds(1 / fps), "canary_s": [0.01, 0.01]} for fps in (206.1, 206.5)]
    run = run_of(row_json(INT8, fps=41.0, reruns=again))
    (case,) = facts_of(run).runs[0].cases
    assert (case.fps, case.fps_low, case.fps_high) == pytest.approx((206.1, 41.0, 206.5), rel=1e-3)
    assert case.latency_ms == pytest.approx(1000 / 206.1, rel=1e-3)
