"""Two runs side by side: what differs around them, and whether a case got slower or faster by as much as matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from tests.bench.runs import MACHINE, rounds, row_json, run_json, write

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


def _timed(fps: float) -> dict[str, Any]:
    return {"samples_s": rounds(4 / fps), "canary_s": [0.01, 0.01]}


def _run_again(path: Path, *cases: str) -> Path:
    """Store a gated run of INT8 and of other cases, whose first process was slow and INT8's further ones were not."""
    again = [_timed(fps) for fps in (205.0, 206.1, 205.5, 206.5)]
    return write(path, run_json(row_json(INT8, fps=41.0, reruns=again), *map(row_json, cases)))


def test_run_whose_cases_ran_again_does_not_differ_from_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(_run_again(tmp_path / "g.json"))
    assert main(["compare", run, run]) == 0
    shown = capsys.readouterr().out
    assert f"{INT8:32} FPS 205.5 -> 205.5, +0.0% (99% interval -" in shown
    assert ", no sure difference; " in shown
    assert "one process each" not in shown
    assert "of its own build" not in shown
    plain = str(write(tmp_path / "plain.json", run_json(row_json(INT8, fps=205.4))))
    assert main(["compare", run, run, "--more-a", plain, "--more-b", plain]) == 0
    assert "FPS 205.5 -> 205.5, +0.0% (" in capsys.readouterr().out


def test_one_process_each_is_said_where_a_case_alone_did_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(_run_again(tmp_path / "g.json", "torch-fp32-b1"))
    assert main(["compare", run, run]) == 0
    assert "- one process each of torch-fp32-b1: how far processes differ is unknown" in capsys.readouterr().out


def test_run_is_judged_against_the_further_processes_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = _run_again(tmp_path / "g.json"), write(tmp_path / "n.json", run_json(row_json(INT8, fps=205.0)))
    assert main(["gate", str(new), "--against", str(old)]) == 0
    assert f" {INT8:32} FPS 205.5 -> 205.0, -0.2%" in capsys.readouterr().out


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
