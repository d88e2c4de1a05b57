"""The past that a page shows is that of one machine, model and image set, with every accepted change."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.accept import accept
from bench.entries import Acceptance
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.history import Past, read_past
from bench.page.render import html, markdown
from tests.bench.page.rich import INT8
from tests.bench.runs import GPU, baseline_of, row_json, run_json, run_of, write


def test_history_is_of_the_same_machine_model_and_images_in_the_order_of_time(tmp_path: Path) -> None:
    folder = tmp_path / "past"
    (folder / "Linux").mkdir(parents=True)
    for day, fps in ((3, 130.0), (1, 110.0), (2, 120.0)):
        data = run_json(row_json(INT8, fps=fps), measured=f"2030-06-0{day}T12:00:00+00:00")
        write(folder / "Linux" / f"000{day}_run.json", data)
    write(folder / "gpu.json", run_json(row_json(INT8, fps=999.0), machine=GPU))
    (folder / "other.json").write_text("{}")
    run = run_of(row_json(INT8, fps=140.0), row_json("torch-fp32-b1"))
    judged = Judged("run.json", run, judge_run(run, None))
    history = facts([judged], Limits(), past=read_past(folder)).runs[0].history
    assert history is not None
    by_case = {case.case: case for case in history.cases}
    assert [point.fps for point in by_case[INT8].points] == pytest.approx([110.0, 120.0, 130.0, 140.0])
    assert by_case[INT8].points[0].file == "Linux/0001_run.json"
    assert len(by_case["torch-fp32-b1"].points) == 1
    assert history.notes == (
        "1 of 4 runs in past are of another machine, model or image set.",
        "1 files in past are no runs of this suite, or damaged: other.json.",
    )


def test_the_current_folder_is_named_as_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "gpu.json", run_json(row_json(INT8)))
    monkeypatch.chdir(tmp_path)
    assert read_past(Path()).folder == tmp_path.name


def test_run_that_lies_in_its_own_history_counts_once(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    out = tmp_path / "report.md"
    assert main(["report", str(run), "--history", str(tmp_path), "--out", str(out)]) == 0
    assert f"| {INT8} | 1 | 100.0 to 100.0 |" in out.read_text()


def test_history_marks_every_accepted_change_with_its_reason() -> None:
    first = baseline_of(row_json(INT8, fps=100.0), row_json("torch-fp32-b1"))
    faster = [run_of(row_json(INT8, fps=150.0), row_json("torch-fp32-b1"), checksum=str(n)) for n in range(3)]
    baseline = accept(first, faster, Acceptance("grace", "2030-06-10T12:00:00+00:00", "new kernels", "c0ffee"))
    run = run_of(row_json(INT8, fps=150.0))
    judged = Judged("run.json", run, judge_run(run, baseline), baseline)
    found = facts([judged], Limits(), past=Past("past", (("run.json", run),), ()))
    history = found.runs[0].history
    assert history is not None
    accepted = history.cases[0].accepted
    assert [(each.kind, each.who, each.why) for each in accepted] == [
        ("previous baseline", "ada", "first"),
        ("baseline", "grace", "new kernels"),
    ]
    assert [each.fps for each in accepted] == pytest.approx([100.0, 150.0], rel=0.01)
    assert "2030-06-10 150.0 FPS by grace (new kernels)" in markdown(found)
    assert "accepted by grace (new kernels)" in html(found)
    assert "grace accepted on 2030-06-10 (new kernels)" in found.runs[0].against


@pytest.mark.parametrize("folder", ["gone", "empty"])
def test_history_that_is_none_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    run = write(tmp_path / "run.json", run_json(row_json(INT8)))
    (tmp_path / "empty").mkdir()
    given = ["report", str(run), "--history", str(tmp_path / folder), "--out", str(tmp_path / "report.html")]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cannot report: --history")
    assert not (tmp_path / "report.html").exists()
