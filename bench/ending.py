"""What ends a process before it is through: Ctrl-C, and SIGTERM, which CI, `timeout` and containers send, like it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Give SIGTERM the meaning of Ctrl-C inside the block, so that what was measured is written.

    A process that was started in the background, where Ctrl-C is ignored, is interrupted too. Nothing is changed in a
    thread that gets no signals, and where SIGTERM has a handler already.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def held(told: Callable[[], object] | None = None) -> Iterator[Callable[[], bool]]:
    """Keep Ctrl-C and SIGTERM for the end of the block; yield what says whether one came.

    For libraries that call back into Python: an exception that a signal raises there, they print and forget. The first
    signal calls `told`; the next is the system's, and ends the process at once. Nothing is changed in a thread that
    gets no signals, nor for a signal that is ignored or is the system's already.
    """
    if current_thread() is not main_thread():
        yield lambda: False
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []

    def note(number: int, frame: Any) -> None:  # noqa: ANN401, ARG001 - a signal handler's argument
        came.append(number)
        for taken in ours:
            signal.signal(taken, signal.SIG_DFL)
        if told is not None:
            told()

    ours = [number for number, handler in handlers.items() if callable(handler)]
    for number in ours:
        signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number in ours:
            signal.signal(number, handlers[number])
        for sent in came:
            signal.raise_signal(sent)


def _interrupt(number: int, frame: Any) -> None:  # noqa: ANN401 - a signal handler's argument
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(number, frame)
