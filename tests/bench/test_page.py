"""The report says the same in HTML and Markdown, verdict first, and hostile names in it are inert."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bench.__main__ import main
from bench.baseline import save_baseline
from bench.gate import judge_run
from bench.page.facts import Facts, Judged, Limits, facts
from bench.page.render import MARKDOWN_LIMIT, html, inert, markdown
from tests.bench.runs import MACHINE, baseline_of, row_json, run_json, run_of, scores, write

if TYPE_CHECKING:
    from pathlib import Path

    from bench.results import Run

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b4"
HOSTILE = '<script>alert(1)</script>"|`x`'


def told(*runs: Run, limits: Limits | None = None) -> Facts:
    """Return the facts of runs without a baseline."""
    return facts([Judged("run.json", run, judge_run(run, None)) for run in runs], limits or Limits())


def test_limits_decide_the_recommendation_and_the_reason_names_them() -> None:
    run = run_of(row_json(INT8, fps=400.0), row_json(FP32, fps=100.0))
    assert told(run).runs[0].recommendation.startswith(f"{INT8}, with 400.0 FPS")
    strict = told(run, limits=Limits(min_dice=0.995)).runs[0].recommendation
    assert strict.startswith(f"{FP32}, with 100.0 FPS")
    assert "at least 0.995" in strict
    assert told(run, limits=Limits(max_latency_ms=11.0)).runs[0].recommendation.startswith(INT8)
    assert told(run, limits=Limits(max_latency_ms=1.0)).runs[0].recommendation.startswith("No engine")
    unknown = run_of(row_json(INT8, peak_memory_bytes=None))
    assert told(unknown, limits=Limits(max_memory_mib=1e6)).runs[0].recommendation.startswith("No engine")


def test_pareto_front_leaves_out_what_another_beats_in_both() -> None:
    rows = [row_json(INT8, fps=400.0), row_json(FP32, fps=100.0), row_json("openvino-fp32-b4", fps=50.0)]
    front = {case.case for case in told(run_of(*rows)).runs[0].cases if case.front}
    assert front == {INT8, FP32}


def test_both_forms_tell_the_same_sentences_in_one_order() -> None:
    low = row_json(INT8, dice_fp32=scores([[0.99, 0.9]] * 3))
    found = told(run_of(low, row_json(FP32), failed={"torch-bf16-b4": "out of memory"}))
    for text in (html(found), markdown(found)):
        places = [text.index(part) for part in (found.runs[0].headline, "REGRESSION openvino", "Recommended")]
        assert places == sorted(places)
        assert "out of memory" in text


@pytest.mark.parametrize("name", ["_worst_.png", "pkg.__main__:make", "a_b__c_", "torch_compile"])
def test_underscores_of_a_name_are_no_emphasis(name: str) -> None:
    text = inert(name)
    assert text.replace("\\", "") == name
    assert not re.search(r"(?<![\\A-Za-z])_|(?<!\\)_(?![A-Za-z])", text)
    assert "\\" not in inert("torch_compile")


def test_hostile_names_are_inert() -> None:
    bad = scores([[0.999, 0.995]] * 3) | {"worst_image": HOSTILE}
    found = told(run_of(row_json(INT8, dice_fp32=bad), failed={HOSTILE: HOSTILE}))
    assert html(found).count("<script>") == 1
    text = markdown(found)
    assert "<script" not in text
    line = next(line for line in text.splitlines() if line.startswith(f"| {INT8} "))
    assert line.replace("\\|", "").count("|") == 15


def test_fleet_has_a_column_per_machine_and_says_what_was_not_measured() -> None:
    h200 = {**MACHINE, "id": "h200", "gpu": "NVIDIA H200"}
    other = run_of(row_json(INT8, fps=900.0), machine=h200, skipped={FP32: "no FP32 here"})
    found = told(run_of(row_json(INT8), row_json(FP32)), other)
    assert found.fleet is not None
    (side,) = found.fleet.comparisons
    assert side.columns == (MACHINE["id"], "h200")
    cells = dict(side.rows)[FP32]
    assert (cells[0].fps, cells[1].fps, cells[1].why) == (100.0, None, "no FP32 here")
    assert f"| {FP32} | 100.0 | not measured here |" in markdown(found)
    assert '<td class="none" title="no FP32 here">not measured here</td>' in html(found)


def test_runs_of_other_models_or_images_are_not_put_side_by_side() -> None:
    gpu = {**MACHINE, "id": "h200", "gpu": "NVIDIA H200"}
    small, large = run_of(row_json(FP32)), run_of(row_json(FP32, fps=900.0), machine=gpu)
    other = run_of(row_json(INT8), model={"name": "unet", "digest": "m2", "weights": "w", "parameters": 1})
    images = run_of(row_json(INT8), images={**small.suite["images"], "digest": "i2"})
    found = told(small, other, large, images)
    assert found.fleet is not None
    (side,) = found.fleet.comparisons
    assert side.columns == (f"{MACHINE['id']} (run.json)", "h200")
    assert [case for case, _ in side.rows] == [FP32]
    assert found.fleet.apart.startswith("Of other models or images, so not compared: ")
    apart = told(small, other)
    assert apart.fleet is not None
    assert apart.fleet.comparisons == ()
    for text in (html(apart), markdown(apart)):
        assert "Each run is of another model or other images, so none are compared" in text
        assert "unet on 3 images" in text
        assert "Images per second by machine" not in text
    assert f"## {MACHINE['id']} (run.json): No case failed" in markdown(apart)


def test_300_cases_are_shortened_in_markdown_and_what_regressed_stays() -> None:
    long = scores([[0.999, 0.995]] * 3) | {"worst_image": "image " * 30}
    low = scores([[0.99, 0.9]] * 3)
    rows = [row_json(f"openvino-int8-b{size}", fps=size, dice_fp32=long) for size in range(1, 300)]
    many = told(run_of(*rows, row_json("torch-int8-b150", fps=1, dice_fp32=low), failed={"torch-fp32-b1": "x" * 50000}))
    assert html(many).count('class="text NO_BASELINE"') == 299
    text = markdown(many)
    assert len(text) <= MARKDOWN_LIMIT
    assert "more cases (those that regressed, the recommended one and the front come first) are left out here" in text
    assert "| torch-int8-b150 | REGRESSION |" in text
    assert f"| {many.runs[0].recommended} | NO_BASELINE |" in text
    assert "To repeat it" in text
    assert "Cut here" not in text


def test_markdown_of_very_many_runs_is_cut_at_a_line_and_says_so() -> None:
    text = markdown(told(*[run_of(row_json(INT8), failed={FP32: "x" * 999})] * 60))
    assert MARKDOWN_LIMIT - 2000 < len(text) <= MARKDOWN_LIMIT
    assert text.endswith("Cut here: the HTML page holds the rest.\n")


def test_one_case_failures_only_and_nothing_at_all_render() -> None:
    for form in (html, markdown):
        assert INT8 in form(told(run_of(row_json(INT8))))
        alone = form(told(run_of(failed={INT8: "out of memory"})))
        assert "1 of 1 cases regressed, failed or vanished" in alone
        assert "No engine can be recommended" in alone
        assert "(no case)" in form(told(run_of()))


def test_command_writes_what_the_name_asks_for_judged_by_the_baseline(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8, fps=50.0)))
    save_baseline(baseline_of(row_json(INT8)), tmp_path / "baseline.json")
    for name, start in (("report.html", "<!doctype html>"), ("report.md", "## 1 of 1 cases regressed")):
        out = tmp_path / name
        assert main(["report", str(run), "--baseline", str(tmp_path / "baseline.json"), "--out", str(out)]) == 0
        assert out.read_text(encoding="utf-8").startswith(start)
        assert 'href="run.json"' in out.read_text(encoding="utf-8") or "(run.json)" in out.read_text(encoding="utf-8")
        assert "-50.0% (" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["out", "run", "baseline"])
def test_file_that_cannot_be_used_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    if fault == "run":
        run.write_text("{")
    out = tmp_path / ("report.txt" if fault == "out" else "report.html")
    given = ["report", str(run), "--out", str(out)]
    given += ["--baseline", str(tmp_path / "gone.json")] if fault == "baseline" else []
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cannot report: ")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
