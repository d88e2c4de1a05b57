"""SIGTERM ends what runs as Ctrl-C does, also where Ctrl-C is ignored, and only inside the block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.ending import sigterm_as_ctrl_c
from bench.results import read_run
from tests.fixtures.sessions import ON_CPU, QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_handler() -> Iterator[None]:
    """Take away what this session itself does with SIGTERM."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_sigterm_interrupts_whatever_ctrl_c_does(ctrl_c: Any) -> None:
    signal.signal(signal.SIGINT, ctrl_c)
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_is_what_ctrl_c_was_made_into() -> None:
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    with sigterm_as_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert asked == [signal.SIGTERM]


def test_handler_that_is_there_stays() -> None:
    asked: list[int] = []

    def own(number: int, _frame: object) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, own)
    with sigterm_as_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert asked == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is own


def test_thread_without_signals_changes_nothing() -> None:
    found: list[object] = []

    def inside() -> None:
        with sigterm_as_ctrl_c():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_command_ends_without_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.commands.gate.run", lambda _options: signal.raise_signal(signal.SIGTERM))
    assert main(["gate", "run.json"]) == 130
    assert capsys.readouterr().err == "stopped: bench gate\n"


def test_session_in_the_background_keeps_what_it_measured(tmp_path: Path) -> None:
    report, plugin = tmp_path / "run.json", tmp_path / "ended.py"
    plugin.write_text(
        "import os, signal\n"
        "def pytest_runtest_teardown(item):\n"
        "    if 'openvino' in item.name:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command = [
        sys.executable, "-m", "pytest", "bench/test_inference.py", "-p", "ended", "--backends=onnxruntime,openvino",
        *ON_CPU, "--precisions=fp32", "--batch-sizes=1,2", "--image-size=64", f"--cache-dir={tmp_path / 'cache'}",
        *QUICK, f"--benchmark-json={report}",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [*ignoring, *command], cwd=ROOT, check=False, capture_output=True, text=True, env=environment
    )
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, ended.stdout
    assert "KeyboardInterrupt" in ended.stdout
    assert set(read_run(report).rows) == {"onnxruntime-fp32-b1", "openvino-fp32-b1"}
