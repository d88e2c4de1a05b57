"""A file of streams alone is refused where rows are judged, compared or accepted: one line says what to give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.baseline import save_baseline
from tests.bench.page.rich import stream_json
from tests.bench.runs import GPU, baseline_of, row_json, run_json, write

if TYPE_CHECKING:
    from pathlib import Path

INT8 = "openvino-int8-b4"


def streams(*rows: dict[str, Any], **suite: Any) -> dict[str, Any]:
    """Return a run with the stream of a case, and with these rows."""
    data = run_json(*rows, **{"selected": [INT8], **suite})
    data["benchmarks"].append({"name": "test_stream", "extra_info": {"stream": stream_json(INT8)}})
    return data


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A baseline that holds the streamed case."""
    save_baseline(baseline_of(row_json(INT8)), tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


@pytest.mark.parametrize(
    "command",
    [
        "gate STREAMS --baseline BASELINE",
        "gate RUN --against RUN STREAMS",
        "compare STREAMS RUN",
        "compare RUN STREAMS",
        "compare RUN RUN --more-a STREAMS",
        "compare RUN RUN --more-b STREAMS",
        "baseline accept RUN1 RUN2 STREAMS --baseline BASELINE --reason x",
    ],
)
def test_streams_alone_are_refused_in_one_line_by_every_command_that_needs_rows(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    files = {name: write(tmp_path / f"{name}.json", run_json(row_json(INT8, fps=fps)))
             for name, fps in (("RUN", 100.0), ("RUN1", 100.1), ("RUN2", 100.2))}  # fmt: skip
    files |= {"STREAMS": write(tmp_path / "STREAMS.json", streams()), "BASELINE": baseline}
    before = baseline.read_text()
    assert main([str(files.get(word, word)) for word in command.split()]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert f": {files['STREAMS']}: holds streams only, and " in line
    assert "the rows of bench/test_inference.py: give a file of pytest bench/ --benchmark-json FILE" in line
    assert captured.out == ""
    assert baseline.read_text() == before


@pytest.mark.parametrize("command", ["gate RUN --against RUN ODD", "compare RUN RUN --more-a ODD"])
@pytest.mark.parametrize(
    ("suite", "why"),
    [
        ({"model": {"name": "big", "digest": "m2"}}, "other model"),
        ({"images": {"origin": "mine", "digest": "i2", "count": 3, "size": [64, 64]}}, "other images"),
        ({"machine": GPU}, "GPU None -> NVIDIA H200"),
        (None, "the same run is given twice"),
    ],
)
def test_runs_of_two_things_or_one_run_twice_are_not_put_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, suite: dict[str, Any] | None, why: str
) -> None:
    files = {"RUN": write(tmp_path / "RUN.json", run_json(row_json(INT8)))}
    files["ODD"] = write(tmp_path / "ODD.json", run_json(row_json(INT8), **(suite or {})))
    assert main([str(files.get(word, word)) for word in command.split()]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert f": {files['ODD']}: " in line
    assert why in line
    assert captured.out == ""


def test_streams_beside_rows_change_no_verdict(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    row = row_json(INT8)
    for number, data in enumerate((run_json(row), streams(row), streams(row, inference=True))):
        run = write(tmp_path / f"run{number}.json", data)
        assert main(["gate", str(run), "--baseline", str(baseline)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    ("suite", "status", "said"),
    [
        ({"inference": True}, 1, "MISSING"),
        ({"inference": True, "failed": {INT8: "boom"}}, 1, "FAILED"),
        ({"failed": {INT8: "boom"}}, 1, "FAILED"),
        ({"inference": False, "failed": {INT8: "boom"}}, 2, "holds streams only"),
    ],
)
def test_case_that_was_to_be_timed_and_has_only_its_stream_is_still_missing_or_failed(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str], suite: dict[str, Any], status: int, said: str
) -> None:
    run = write(tmp_path / "run.json", streams(**suite))
    assert main(["gate", str(run), "--baseline", str(baseline)]) == status
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_session_whose_streams_all_failed_is_not_judged_either(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", run_json(selected=[INT8], failed={INT8: "boom"}, inference=False))
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2
    assert "holds no case that was to be timed, and " in capsys.readouterr().err
