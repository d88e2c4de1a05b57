"""What the page says of sweeps, streams and layers is what the runs hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.parts import Point
from bench.page.render import html, markdown
from bench.page.sweeps import read_sweep
from bench.results import RunFileError, parse_run
from bench.status import Status
from tests.bench.page.rich import INT8, facts_of, rich_run, roofline_json, stream_json
from tests.bench.runs import GPU, MACHINE, baseline_of, row_json, run_json, run_of, write

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
