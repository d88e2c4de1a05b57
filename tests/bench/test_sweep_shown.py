"""Sweeps are shown and plotted from their files, those of one model and machine together, without measuring."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bench import sweep_file
from bench.__main__ import main
from bench.results import RunFileError
from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def stored(fps: float = 10.0, **changes: Any) -> dict[str, Any]:
    """Return a sweep's JSON as one session left it."""
    points = [
        {"batch_size": size, "fps": fps * size, "share_of_ceiling": 0.5, "outside_layers": 0.125,
         "peak_memory_bytes": size * 2**20, "bound_by": "launches"}
        for size in (1, 2)
    ]  # fmt: skip
    return {
        "schema": 2,
        "machine": {"id": "m", "cpu": "AMD EPYC", "cores": 2, "gpu": None, "driver": None},
        "threads": 2,
        "model": {"name": "tiny", "digest": "abc", "weights": "w", "weights_digest": "d", "parameters": 1},
        "image_size": [64, 64],
        "calibration": {"digest": "c"},
        "sessions": [],
        "ended": {},
        "sweep": {"openvino-fp32": points},
        "roofline": {"cases": {}},
        **changes,
    }


def test_lines_that_end_for_one_reason_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {f"{name}-fp32": f"from batch 1 on: {name}: not here" for name in ("tensorrt", "torch2trt")}
    path = tmp_path / "one.json"
    path.write_text(json.dumps(stored(ended={**reasons, "torch-fp32": "from batch 8 on: no memory"})))
    assert main(["sweep", "--from", str(path)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert notes == [
        "- tensorrt-fp32, torch2trt-fp32: from batch 1 on: not here",
        "- torch-fp32: from batch 8 on: no memory",
    ]


@pytest.mark.parametrize(("share", "told"), [(1.001, 1), (1.0, 0), (None, 0)])
def test_share_above_the_ceiling_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float | None, told: int
) -> None:
    data = stored()
    data["sweep"]["openvino-fp32"][0]["share_of_ceiling"] = share
    path = tmp_path / "one.json"
    path.write_text(json.dumps(data))
    assert main(["sweep", "--from", str(path)]) == 0
    assert capsys.readouterr().out.count("above 100 %: ceilings are the best that was measured") == told


def test_stored_files_are_shown_and_plotted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, drawn = tmp_path / "one.json", tmp_path / "two.json", tmp_path / "both.svg"
    one.write_text(json.dumps(stored()))
    other = stored(ended={"torch-fp32": "from batch 4 on: out of memory"})
    two.write_text(json.dumps({**other, "sweep": {"torch-fp32": other["sweep"]["openvino-fp32"]}}))
    assert main(["sweep", "--from", str(one), str(two), "--plot", str(drawn)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "tiny, 64x64, AMD EPYC, 2 cores"
    assert lines[3].split() == ["openvino-fp32-b2", "20.0", "50.0%", "launches", "12.5%", "2"]
    assert [line.split()[0] for line in lines[5:7]] == ["torch-fp32-b1", "torch-fp32-b2"]
    assert lines[-1] == "- torch-fp32: from batch 4 on: out of memory"
    assert max(len(line) for line in lines) <= 100
    assert "torch-fp32" in drawn.read_text()


def test_plot_asks_for_nothing_and_follows_the_browser_s_colours(tmp_path: Path) -> None:
    path, drawn = tmp_path / "one.json", tmp_path / "one.svg"
    path.write_text(json.dumps(stored()))
    assert main(["sweep", "--from", str(path), "--plot", str(drawn)]) == 0
    text = drawn.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "<script" not in text
    assert [part for part in text.split('"') if part.startswith("http")] == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"machine": {"id": "other"}}, "machine m, not other"),
        ({"threads": 4}, "threads 2, not 4"),
        ({"model": {"name": "tiny", "digest": "xyz", "weights": "w"}}, r"model tiny \(abc\), not tiny \(xyz\)"),
        ({"image_size": [32, 64]}, "image size 64x64, not 32x64"),
        ({"calibration": {"digest": "e"}}, "calibration images c, not e"),
    ],
)
def test_sweeps_of_two_things_are_not_put_together(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunFileError, match=f"sweep.json: it is of something else .*{told}"):
        sweep_file.check_same(stored(), tmp_path / "sweep.json", stored(**changes), "it")


def test_line_in_two_files_and_a_file_of_no_known_model_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps(stored()))
    two.write_text(json.dumps(stored(20.0)))
    assert main(["sweep", "--from", str(one), str(two)]) == 2
    assert "two.json: openvino-fp32 is in another of the files too" in capsys.readouterr().err
    assert main(["sweep", "--from", str(one), "--append"]) == 2
    assert "--from measures nothing" in capsys.readouterr().err
    old = {key: value for key, value in stored().items() if key in {"machine", "sweep"}}
    one.write_text(json.dumps(old))
    assert main(["sweep", "--from", str(one)]) == 0
    assert main(["sweep", "--from", str(one), str(two)]) == 2
    assert "one.json: it does not say of which model it is" in capsys.readouterr().err
    for text in ("{", "[]", '{"machine": {}}', json.dumps({**old, "sweep": {"x": [{"batch_size": 0}]}})):
        one.write_text(text)
        assert main(["sweep", "--from", str(one)]) == 2
        assert capsys.readouterr().err.startswith(f"cannot sweep: {one}: ")


@pytest.mark.parametrize(("plot", "lines"), [("amd-epyc", 6), ("h100", 5)])
def test_the_sweeps_in_docs_are_shown_with_their_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plot: str, lines: int
) -> None:
    files = sorted(str(path) for path in (ROOT / "docs").glob(f"sweep-{plot}*.json"))
    out = tmp_path / "plot.svg"
    assert main(["sweep", "--from", *files, "--plot", str(out)]) == 0
    assert capsys.readouterr().out.count("-b1 ") == lines
    if sys.version_info >= (3, 11):  # the Matplotlib for 3.10 draws half a pixel higher
        assert out.read_text() == (ROOT / "docs" / f"sweep-{plot}.svg").read_text()
