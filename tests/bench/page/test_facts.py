"""What the page says of throughput, accuracy and machines is what the runs hold."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.baseline import save_baseline
from bench.gate import judge_run
from bench.page.accuracy import pictures
from bench.page.facts import Judged, Limits, facts
from bench.page.fleet import SCHEMES
from bench.page.parts import Point
from bench.page.plots.front import front_plot
from bench.page.render import html, markdown
from bench.page.sweeps import read_sweep
from bench.page.values import FleetCell
from bench.results import RunFileError, parse_run
from bench.status import Status
from tests.bench.page.rich import CASES, INT8, facts_of, pictures_json, rich_json, rich_run, roofline_json, stream_json
from tests.bench.runs import GPU, MACHINE, baseline_of, row_json, run_json, run_of, scores, write

if TYPE_CHECKING:
    from pathlib import Path


def sweep_json(machine: str = str(MACHINE["id"])) -> dict[str, Any]:
    """Return a sweep of one line, half its ceiling."""
    points = [{"batch_size": size, "fps": 10.0 * size, "share_of_ceiling": 0.5} for size in (1, 2, 64)]
    return {"machine": {"id": machine}, "sweep": {"openvino-int8": points}, "roofline": {}}


def test_ceiling_is_what_the_share_of_it_says() -> None:
    (found,) = facts_of(rich_run()).runs[0].scaling
    assert found.source == "run0.json"
    lines = dict(found.lines)
    # Half of the ceiling at 10 ms an image: 200 images per second.
    assert lines["openvino-int8"] == (Point(1, 120.0, 200.0), Point(4, 150.0, None))
    assert [name for name, _ in found.lines] == ["openvino-fp32", "torch-fp32", "openvino-int8"]
    assert facts_of(run_of(row_json(INT8))).runs[0].scaling == ()
    assert "| openvino-int8 | 1: 120.0, 4: 150.0 | 1: 60% |" in markdown(facts_of(rich_run()))
    assert "| openvino-int8 | 1: 120.0, 4: 150.0 |\n" in markdown(facts_of(rich_run(roofline={"cases": {}})))
    unknown = facts_of(rich_run(roofline=roofline_json(INT8, share=None))).runs[0].scaling[0]
    assert dict(unknown.lines)["openvino-int8"][0].ceiling_fps is None


def test_sweep_is_shown_beside_the_run_of_its_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    sweep = tmp_path / "sweep.json"
    sweep.write_text(json.dumps(sweep_json()))
    out = tmp_path / "report.md"
    assert main(["report", str(sweep), str(run), "--out", str(out)]) == 0
    assert "| openvino-int8 | 1: 10.0, 2: 20.0, 64: 640.0 | 1: 50%, 2: 50%, 64: 50% |" in out.read_text()
    sweep.write_text(json.dumps(sweep_json("another")))
    assert main(["report", str(run), str(sweep), "--out", str(out)]) == 2
    assert "sweep.json: a sweep of another, of which no run is given" in capsys.readouterr().err
    sweep.write_text(json.dumps({**sweep_json(), "model": {"name": "unet", "digest": "d", "weights": "w"}}))
    assert main(["report", str(run), str(sweep), "--out", str(out)]) == 2
    assert f"a sweep of unet on {MACHINE['id']}, of which no run is given (tiny on" in capsys.readouterr().err
    assert main(["report", str(sweep), "--out", str(out)]) == 2
    assert "no run is given" in capsys.readouterr().err
    sweep.write_text(json.dumps({**sweep_json(), "sweep": {"openvino-int8": [{"batch_size": 0}]}}))
    with pytest.raises(RunFileError, match="a sweep with parts missing or wrong, at sweep/openvino-int8/0"):
        read_sweep(sweep)


def test_streams_and_layers_are_in_milliseconds_an_image() -> None:
    run = facts_of(rich_run()).runs[0]
    stream = run.streams[0]
    assert (stream.case, stream.samples, stream.p99_ms, stream.plain_fps) == ("torch-fp32-b1", "10", 120.0, 5.0)
    assert dict(stream.stages_ms)["infer"] == pytest.approx(90.0)
    (layers,) = run.layers
    assert (layers.case, layers.bound_by, layers.layers[0].ms) == (INT8, "arithmetic", 6.0)


def test_run_of_streams_alone_is_not_told_to_miss_what_it_was_not_to_time() -> None:
    data = run_json(machine=GPU, selected=[INT8])
    data["benchmarks"] = [{"name": "test_stream", "extra_info": {"stream": stream_json(INT8)}}]
    run, baseline = parse_run(data, "a test's run"), baseline_of(row_json(INT8), machine=GPU)
    judged = Judged("streams.json", run, judge_run(run, baseline), baseline)
    assert [verdict.status for verdict in judged.verdicts] == [Status.MISSING]
    found = facts([judged], Limits()).runs[0]
    assert found.headline == "Streams of 1 case; the gate judges none."
    assert (found.attention, found.recommendation, found.against, found.schemes) == ((), "", "", None)
    for text in (html(facts([judged], Limits())), markdown(facts([judged], Limits()))):
        assert "MISSING" not in text.partition("</style>")[2]
        assert "Recommended" not in text.partition("</style>")[2]
    timed = Judged("run.json", run_of(row_json(INT8), machine=GPU), ())
    fleet = facts([judged, timed], Limits()).fleet
    assert fleet is not None
    assert (fleet.comparisons, fleet.apart) == ((), "")
    lost = facts([replace(judged, run=parse_run({**data, "benchmarks": []}, "a test's run"))], Limits()).runs[0]
    assert lost.headline.startswith("1 of 1 cases regressed, failed or vanished")


def test_interrupted_stream_is_told_and_one_without_images_is_left_out() -> None:
    partial = {"extra_info": {"stream": stream_json(INT8, partial=True, done=3)}}
    empty = {"extra_info": {"stream": stream_json("torch-fp32-b1", done=0, partial=True, latency_ms=None, plain=None)}}
    run = facts_of(parse_run(run_json(row_json(INT8), partial, empty), "a run")).runs[0]
    assert [stream.samples for stream in run.streams] == ["3 (partial)"]
    assert f"The stream of {INT8} was interrupted: its figures are of what was done." in run.attention


def test_stream_that_waited_for_its_images_is_told_with_what_its_workers_took() -> None:
    waits = {"infer": 0.6, "wait": 0.4}
    read = {"source": "PNG files", "workers": 4, "workers_read": 10, "workers_s": {"decode": 3.9, "normalise": 0.1}}
    slow = {"extra_info": {"stream": stream_json(INT8, stages_s=waits, **read)}}
    fast = {"extra_info": {"stream": stream_json("torch-fp32-b1", stages_s={"infer": 1.0, "wait": 0.0}, **read)}}
    old = {"extra_info": {"stream": stream_json("openvino-fp32-b1", stages_s=waits)}}
    all_facts = facts_of(parse_run(run_json(row_json(INT8), slow, fast, old), "a run"))
    run = all_facts.runs[0]
    assert [stream.workers for stream in run.streams] == ["4 x 400.00 ms", "4 x 400.00 ms", "-"]
    told = [line for line in run.attention if "waiting for images" in line]
    words, figures = (
        "40% of the time went by waiting for images: decoding is the limit",
        "4 workers, 400.00 ms an image",
    )
    assert told == [f"{INT8}: {words} ({figures} each, 10 images/s in all)", f"openvino-fp32-b1: {words}"]
    for text in (html(all_facts), markdown(all_facts)):
        assert "decoding is the limit (4 workers, 400.00 ms an image each, 10 images/s in all)" in text
        assert "workers reading" in text
        assert text.count("4 x 400.00 ms") == 2


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


def test_baseline_that_held_what_is_missing_is_not_said_to_be_absent() -> None:
    run, baseline = run_of(selected=[INT8]), baseline_of(row_json(INT8))
    found = facts([Judged("run.json", run, judge_run(run, baseline), baseline)], Limits()).runs[0]
    assert found.headline.startswith("1 of 1 cases regressed, failed or vanished (1 MISSING)")
    assert found.against == "Judged by the baseline that ada accepted on 2030-06-01 (first)."
