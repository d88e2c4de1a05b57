"""SIGTERM ends what runs as Ctrl-C does, also where Ctrl-C is ignored, and only inside the block."""

from __future__ import annotations

import signal
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.ending import sigterm_as_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Iterator


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
