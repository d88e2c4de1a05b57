"""What ends a process before it is through: SIGTERM, which CI, `timeout` and containers send, is taken as Ctrl-C is."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def _interrupt(number: int, frame: Any) -> None:  # noqa: ANN401 - a signal handler's argument
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(number, frame)
