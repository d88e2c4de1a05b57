"""`python -m bench sweep` measures each batch size and plots it; `roofline` prints what a run holds."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.roofline import ceilings
from tests.bench.networks import quick
from tests.fixtures.sessions import FACTORY, read

if TYPE_CHECKING:
    from pathlib import Path


def sweep(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Sweep a tiny network over batch sizes."""
    (folder / "tinynet.py").write_text(FACTORY)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(ceilings, "_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 20})
    with quick():
        return main([
            "sweep", "--batch-sizes=2,1", "--backends=openvino", "--precisions=tf32,fp32", "--model=tinynet:make",
            "--image-size=64", "--seconds=0.01", "--device=cpu", f"--cache-dir={folder / 'cache'}",
            f"--json={folder / 'sweep.json'}", f"--plot={folder / 'sweep.svg'}", *arguments,
        ])  # fmt: skip


def test_every_batch_size_is_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep(tmp_path, monkeypatch) == 0
    found = read(tmp_path / "sweep.json")
    assert list(found["sweep"]) == ["openvino-fp32"]
    points = found["sweep"]["openvino-fp32"]
    assert [point["batch_size"] for point in points] == [1, 2]
    assert all(point["fps"] > 0 and point["share_of_ceiling"] > 0 for point in points)
    assert set(found["roofline"]["cases"]) == {"openvino-fp32-b1", "openvino-fp32-b2"}
    drawn = (tmp_path / "sweep.svg").read_text()
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - just written
    assert "openvino-fp32" in drawn


def test_batch_sizes_that_are_none_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, monkeypatch, "--batch-sizes=0,2") == 2
    assert capsys.readouterr().err == "cannot sweep: --batch-sizes 0,2: whole numbers from 1\n"
    assert not (tmp_path / "sweep.json").exists()


def roofline_of(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a run that holds the roofline of one case."""
    case = {"share_of_ceiling": 0.25, "bound_by": "memory", "layers": layers}
    return {
        "suite": {
            "roofline": {
                "ceilings": {"fp32": 6.25e10},
                "network": {"flops_per_image": 2e9},
                "cases": {"any-fp32-b1": case},
            }
        }
    }


def test_roofline_of_a_run_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(roofline_of([{"name": "/inc/Conv", "ms": 1.5, "share": 0.5}])))
    assert main(["roofline", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "any-fp32-b1: 25.0% of the ceiling, bound by memory" in shown
    assert "1.500 ms  50.0%  /inc/Conv" in shown


@pytest.mark.parametrize("content", ['{"suite": {}}', "no JSON", "[]"])
def test_run_without_a_roofline_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    assert main(["roofline", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cannot show: {path}: ")
