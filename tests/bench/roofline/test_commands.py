"""`python -m bench roofline` prints what a run holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


def roofline_of(layers: list[dict[str, Any]], share: float | None = 0.25) -> dict[str, Any]:
    """Return a run that holds the roofline of one case."""
    case = {"share_of_ceiling": share, "bound_by": "memory", "layers": layers}
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
    assert "above 100 %" not in shown


@pytest.mark.parametrize(("share", "told"), [(1.001, 1), (1.0, 0), (None, 0)])
def test_share_above_the_ceiling_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float | None, told: int
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(roofline_of([], share)))
    assert main(["roofline", str(path)]) == 0
    assert capsys.readouterr().out.count("above 100 %: ceilings are the best that was measured") == told


@pytest.mark.parametrize("content", ['{"suite": {}}', "no JSON", "[]", '{"suite": {"roofline": {"ceilings": []}}}'])
def test_run_without_a_roofline_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    assert main(["roofline", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cannot show: {path}: ")
