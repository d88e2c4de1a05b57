"""SIGTERM ends what runs as Ctrl-C does, also where Ctrl-C is ignored, and only inside the block."""

from __future__ import annotations

import signal
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from bench.__main__ import main
from bench.ending import held, sigterm_as_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_handler() -> Iterator[None]:
    """Take away what this session itself does with SIGTERM, and with Ctrl-C where it began in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_signal_comes_at_the_end_of_the_block_and_the_next_one_is_the_systems(number: int) -> None:
    told: list[int] = []
    reached: list[object] = []

    def block() -> None:
        with sigterm_as_ctrl_c(), held(), held(lambda: told.append(number)) as came:
            reached.append(came())
            signal.raise_signal(number)
            reached.extend([came(), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)])

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == [False, True, signal.SIG_DFL, signal.SIG_DFL]
    assert told == [number]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_held_signal_comes_before_what_the_block_raises() -> None:
    def block() -> None:
        with held():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(KeyboardInterrupt) as caught:
        block()
    assert isinstance(caught.value.__context__, ValueError)


def test_signal_that_is_ignored_or_the_systems_is_not_held() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held() as came:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.raise_signal(signal.SIGINT)
    assert not came()


def test_nothing_is_held_without_a_signal_and_in_a_thread_that_gets_none() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held() as came:
        pass
    assert not came()
    assert signal.getsignal(signal.SIGINT) is before
    found: list[object] = []

    def inside() -> None:
        with held() as asked:
            found.extend([asked(), signal.getsignal(signal.SIGINT)])

    thread = Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False, before]
