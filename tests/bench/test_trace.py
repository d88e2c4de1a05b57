"""`python -m bench trace`: what it records, goes on with and refuses, with runs that are made up."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

import bench.commands.trace
import bench.turns
from bench.__main__ import main
from bench.traces import load
from bench.visits import Visit
from bench.workers import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FP32, INT8 = "openvino-fp32-b1", "openvino-int8-b1"


class Recorded:
    """Stands in for the recorder: writes down what it is asked for, and ends after some runs where it is told to."""

    specs: tuple[Mapping[str, Any], ...] = ()
    disturbed: tuple[bool, ...] = ()
    last: tuple[int, type[BaseException]] | None = None

    def __init__(self, spec: Mapping[str, Any], passes: int, seconds: float, say: Callable[[str], None]) -> None:
        Recorded.specs += (spec,)

    def run(self, *, disturbed: bool = False) -> dict[str, tuple[Visit, ...]]:
        """Return a visit to each case."""
        if Recorded.last is not None and len(Recorded.disturbed) == Recorded.last[0]:
            msg = "the worker ended"
            raise Recorded.last[1](msg)
        Recorded.disturbed += (disturbed,)
        return {case: (Visit((0.5, 0.25), (0.01, 0.02)),) for case in self.specs[-1]["cases"]}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    monkeypatch.setattr(bench.commands.trace, "Recorder", Recorded)
    for name, value in (("specs", ()), ("disturbed", ()), ("last", None)):
        monkeypatch.setattr(Recorded, name, value)
    return Recorded


def test_runs_are_stored_and_gone_on_with(
    tmp_path: Path, recorded: type[Recorded], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quiet.json"
    given = ("trace", "--out", str(out), "--cases", f"{FP32},{INT8}", "--append")
    assert main([*given, "--runs", "2", "--note", "nothing else"]) == 0
    assert len(load(out).runs) == 2
    assert main([*given, "--runs", "4", "--disturbed", "2"]) == 0
    found = load(out)
    assert (found.cases, found.origin["note"]) == ((FP32, INT8), "nothing else")
    assert (len(found.runs), len(found.disturbed)) == (4, 2)
    assert recorded.disturbed == (False, False, True, False, True, False)
    assert f"4 runs and 2 disturbed ones of 2 cases in {out}" in capsys.readouterr().out
    assert main([*given, "--image-size", "128"]) == 2
    assert f"{out}: its image_size is another than now; record to another file" in capsys.readouterr().err
    assert load(out) == found


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [
        (KeyboardInterrupt, 130, "stopped; {} holds what was recorded: --append goes on with it"),
        (WorkerError, 2, "cannot record: the worker ended"),
        (OSError, 2, "cannot record: the worker ended"),
    ],
)
def test_recording_that_ends_early_keeps_what_it_recorded(
    tmp_path: Path,
    recorded: type[Recorded],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: type[BaseException],
    status: int,
    told: str,
) -> None:
    out = tmp_path / "quiet.json"
    monkeypatch.setattr(recorded, "last", (0, end))
    assert main(["trace", "--out", str(out), "--cases", FP32]) == status
    assert not out.exists()
    monkeypatch.setattr(recorded, "last", (2, end))
    assert main(["trace", "--out", str(out), "--cases", FP32]) == status
    assert capsys.readouterr().err.splitlines()[-1] == told.format(out)
    assert len(load(out).runs) == 2


def test_cases_are_those_that_run_here_and_slowed_ones_come_last(tmp_path: Path, recorded: type[Recorded]) -> None:
    given = ("trace", "--out", str(tmp_path / "x.json"), "--runs", "1", "--precisions", "fp32,int8")
    assert main([*given, "--backends", "openvino", "--batch-sizes", "4,1", "--inject", FP32]) == 0
    cases = recorded.specs[-1]["cases"]
    assert cases[:4] == [FP32, "openvino-fp32-b4", INT8, "openvino-int8-b4"]
    assert cases[4] == f"{FP32}@sleep=0.02"
    assert all(case.startswith(f"{FP32}@") for case in cases[4:])
    assert main([*given, "--exclude", "torch,onnxruntime,torch_compile", "--batch-sizes", "1"]) == 0
    assert recorded.specs[-1]["cases"] == [FP32, INT8]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--precisions", "fp32,int4"), "--precisions int4: there are fp32, "),
        (("--backends", "onyx"), "no backend 'onyx'"),
        (("--backends", "openvino", "--precisions", "tf32"), "no case of openvino runs here on cpu"),
        (("--cases", "openvino"), "not a case id: 'openvino'"),
        (("--inject", f"{FP32}@sleep=9"), "sleep=9"),
    ],
)
def test_what_cannot_be_recorded_is_one_error_and_no_file(
    tmp_path: Path, recorded: type[Recorded], capsys: pytest.CaptureFixture[str], given: tuple[str, ...], told: str
) -> None:
    assert main(["trace", "--out", str(tmp_path / "x.json"), *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cannot record: ")
    assert told in line
    assert recorded.specs == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [(), ("--turns", FP32)])
def test_what_a_neighbour_that_ended_was_not_beside_is_not_stored(
    tmp_path: Path,
    recorded: type[Recorded],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: tuple[str, ...],
) -> None:
    calls: list[str] = []

    class Other:
        def begin(self) -> None:
            calls.append("begin")

        def check(self) -> None:
            calls.append("check")
            if len(calls) > 2:
                msg = "the neighbour ended"
                raise WorkerError(msg)

    monkeypatch.setattr(bench.commands.trace, "beside", lambda device, how: nullcontext(Other()))
    monkeypatch.setattr(bench.turns, "record", lambda spec, seconds: bench.turns.Pair(((0.5, 0.5),) * 4, 2.0))
    out = tmp_path / "beside.json"
    assert main(["trace", "--out", str(out), "--cases", FP32, "--neighbour", *how]) == 2
    assert capsys.readouterr().err == "cannot record: the neighbour ended\n"
    assert calls == ["begin", "check", "check"]
    assert len(bench.turns.load(out, least=1).pairs if how else load(out).runs) == 1
