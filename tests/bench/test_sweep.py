"""A sweep's file says what it is of, is whole after every case, takes only its like, and is shown without measuring."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from bench import sweep_file, sweep_lines
from bench.__main__ import main
from bench.backend import OutOfMemoryError
from bench.results import RunFileError
from bench.roofline import ceilings
from tests.bench.networks import quick
from tests.documents import ROOT
from tests.fixtures.sessions import FACTORY, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Sweeper = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    """Sweep a tiny network; of two of a kind the last argument holds."""
    (tmp_path / "tinynet.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ceilings, "_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 20})

    def run(*arguments: str) -> int:
        with quick():
            return main([
                "sweep", "--batch-sizes=2,1", "--backends=openvino", "--precisions=fp32", "--model=tinynet:make",
                "--image-size=64", "--seconds=0.01", "--device=cpu", f"--cache-dir={tmp_path / 'cache'}",
                "--json=sweep.json", *arguments,
            ])  # fmt: skip

    return run


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


def test_every_batch_size_is_a_point_and_the_file_says_what_it_is_of(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("--precisions=tf32,fp32", "--plot=sweep.svg") == 0
    found = read(tmp_path / "sweep.json")
    assert list(found["sweep"]) == ["openvino-fp32"]
    points = found["sweep"]["openvino-fp32"]
    assert [point["batch_size"] for point in points] == [1, 2]
    assert all(point["fps"] > 0 and point["share_of_ceiling"] > 0 for point in points)
    assert set(found["roofline"]["cases"]) == {"openvino-fp32-b1", "openvino-fp32-b2"}
    assert found["model"]["name"] == "tinynet:make"
    assert len(found["model"]["digest"]) == len(found["model"]["weights_digest"]) == 64
    assert found["image_size"] == [64, 64]
    (session,) = found["sessions"]
    assert session["cases"] == ["openvino-fp32-b1", "openvino-fp32-b2"]
    assert session["versions"]["openvino"]["openvino"].startswith(session["runtimes"]["openvino"])
    assert session["ceilings"]["fp32"] > 0
    drawn = (tmp_path / "sweep.svg").read_text()
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - just written
    assert "openvino-fp32" in drawn
    assert "tinynet:make, 64x64" in drawn
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("tinynet:make, 64x64, ")
    assert out[1].split() == ["case", "FPS", "of", "ceiling", "bound", "by", "launch", "gaps", "MiB"]
    assert [line.split()[0] for line in out[2:]] == ["openvino-fp32-b1", "openvino-fp32-b2"]


def test_stop_loses_nothing_that_was_measured_and_append_goes_on(
    sweep: Sweeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sweep_lines._point
    asked: list[str] = []

    def interrupted(source: Any, case: Any, *rest: Any) -> Any:
        asked.append(case.id)
        if len(asked) == 2:
            # What a kill at this very moment would leave.
            assert list(read(tmp_path / "sweep.json")["roofline"]["cases"]) == ["openvino-fp32-b1"]
            raise KeyboardInterrupt
        return real(source, case, *rest)

    monkeypatch.setattr(sweep_lines, "_point", interrupted)
    assert sweep() == 130
    said = capsys.readouterr()
    assert "sweep.json holds what was measured; with --append the same command goes on" in said.err
    assert "openvino-fp32-b1 " in said.out
    first = read(tmp_path / "sweep.json")["sweep"]["openvino-fp32"]
    assert sweep("--append") == 0
    assert asked == ["openvino-fp32-b1", "openvino-fp32-b2", "openvino-fp32-b2"]
    found = read(tmp_path / "sweep.json")
    assert found["sweep"]["openvino-fp32"][0] == first[0]
    assert [each["cases"] for each in found["sessions"]] == [["openvino-fp32-b1"], ["openvino-fp32-b2"]]
    assert set(found["roofline"]["network"]["least_bytes"]) == {"1", "2"}
    assert sweep("--append") == 0
    assert "holds every case already" in capsys.readouterr().err
    assert read(tmp_path / "sweep.json") == found


def test_append_adds_lines_and_refuses_another_model_or_size(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("--batch-sizes=1") == 0
    assert sweep("--batch-sizes=1", "--backends=torch", "--append") == 0
    found = read(tmp_path / "sweep.json")
    assert list(found["sweep"]) == ["openvino-fp32", "torch-fp32"]
    capsys.readouterr()
    for other, told in (("--image-size=32", "image size 64x64, not 32x32"), ("--model=unet-small", "model tinynet:")):
        assert sweep(other, "--append") == 2
        assert told in capsys.readouterr().err
    assert read(tmp_path / "sweep.json") == found


def test_line_that_ends_early_says_why_in_the_file_and_the_others_go_on(
    sweep: Sweeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sweep_lines._point

    def small(source: Any, case: Any, *rest: Any) -> Any:
        if case.id == "openvino-fp32-b2":
            msg = "out of memory at batch 2 (needs about 90.0 GiB)\nthe device's own words\nand more of them"
            raise OutOfMemoryError(msg)
        return real(source, case, *rest)

    monkeypatch.setattr(sweep_lines, "_point", small)
    assert sweep("--backends=openvino,torch,tensorrt") == 0
    found = read(tmp_path / "sweep.json")
    assert {line: len(points) for line, points in found["sweep"].items()} == {"openvino-fp32": 1, "torch-fp32": 2}
    told = "from batch 2 on: out of memory at batch 2 (needs about 90.0 GiB); the device's own words"
    assert found["ended"]["openvino-fp32"] == told
    assert found["ended"]["tensorrt-fp32"].startswith("from batch 1 on: ")
    assert "- openvino-fp32: from batch 2 on: out of memory" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--batch-sizes=0,2", "--batch-sizes 0,2: whole numbers from 1"),
        ("--batch-sizes=1,x", "--batch-sizes 1,x: whole numbers from 1"),
        ("--backends=torch,onyx", "--backends torch,onyx: no onyx; there are "),
        ("--precisions=int4", "--precisions int4: no int4; there are fp32, "),
        ("--backends=tensorrt", "nothing could be measured: tensorrt-fp32: from batch 1 on: "),
        ("--weights=none.safetensors", "none.safetensors"),
        ("--plot=none/sweep.svg", "none/sweep.svg: there is no folder none"),
    ],
)
def test_what_cannot_be_swept_is_one_error_and_no_file(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, told: str
) -> None:
    assert sweep(argument) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cannot sweep: ")]
    assert told in line
    assert not (tmp_path / "sweep.json").exists()


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
    assert out.read_text() == (ROOT / "docs" / f"sweep-{plot}.svg").read_text()
