"""Two runs side by side: what differs around them, and whether a case got slower or faster by as much as matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.__main__ import main
from tests.bench.runs import MACHINE, row_json, run_json, write

if TYPE_CHECKING:
    from pathlib import Path

INT8 = "openvino-int8-b4"


def test_two_runs_are_compared_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.json", run_json(row_json(INT8), row_json("torch-fp32-b1")))
    other = run_json(row_json(INT8, fps=50.0, versions={"openvino": "2.0"}), machine={**MACHINE, "driver": "9"})
    b = write(tmp_path / "b.json", other)
    assert main(["compare", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert "- driver None -> 9" in text
    assert "- openvino 1.0 -> 2.0" in text
    assert "FPS 100.0 -> 50.0, -50.0%" in text
    assert ", slower; Dice 0.9923 -> 0.9923" in text
    assert "not in every run" in text
    assert "one process each" in text
    b.write_text(b.read_text()[:-9])
    assert main(["compare", str(a), str(b)]) == 2
    c = write(tmp_path / "c.json", run_json(row_json("onnxruntime-fp32-b1")))
    capsys.readouterr()
    assert main(["compare", str(a), str(c)]) == 2
    assert capsys.readouterr().err == "cannot compare: the runs share no case\n"


@pytest.mark.parametrize(
    ("fps", "said"),
    [
        (99.5, ", -0.5% (99% interval -0.8% to -0.2%), slower by less than the gate's limit of 1.0%; "),
        (100.5, ", +0.5% (99% interval +0.2% to +0.8%), faster by less than the gate's limit of 1.0%; "),
        (98.0, ", slower; "),
        (102.0, ", faster; "),
        (100.02, ", no sure difference; "),
    ],
)
def test_difference_that_is_sure_and_too_small_to_matter_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fps: float, said: str
) -> None:
    old, new = (
        [
            str(write(tmp_path / f"{of}-{index}.json", run_json(row_json(INT8, fps=of * part))))
            for index, part in enumerate((0.9995, 0.9998, 1.0, 1.0002, 1.0005))
        ]
        for of in (100.0, fps)
    )
    assert main(["compare", old[0], new[0], "--more-a", *old[1:], "--more-b", *new[1:]]) == 0
    assert said in capsys.readouterr().out
