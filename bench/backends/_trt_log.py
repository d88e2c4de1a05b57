"""TensorRT's messages: kept, so that a failure can show them, and judged, so that it gets the right name."""

from __future__ import annotations

import re
from collections import deque
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import tensorrt as trt

from bench.backend import BuildError
from bench.backends._memory import needed_bytes, out_of_memory, ran_out
from bench.ending import held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NONE_LEFT = re.compile(r"could not find any implementation", re.IGNORECASE)
_PASSED_OVER = re.compile(r"skipping tactic|to use tactic|virtualMemoryBuffer", re.IGNORECASE)
"""What a builder says of a kernel that it passes over for want of memory: 8.6 as a warning, 10 as an error too."""
_SHOWN = 25
"""Lines of TensorRT's that an error text repeats; the last ones name the cause."""


class Log(trt.ILogger):  # type: ignore[misc] # TensorRT's classes have no types
    """Keeps TensorRT's warnings and errors, and drops the rest."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.lines: deque[str] = deque(maxlen=10_000)
        severity = trt.ILogger.Severity
        self._kept = ((severity.INTERNAL_ERROR, "fatal"), (severity.ERROR, "error"), (severity.WARNING, "warning"))

    def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401 - TensorRT's enumeration
        """Keep one message; TensorRT calls this, from any thread."""
        for kept, word in self._kept:
            if severity == kept:
                self.lines.append(f"{word}: {msg}")


@cache
def log() -> Log:
    """Return this process's only log: TensorRT goes on using the first one it was given."""
    return Log()


@contextmanager
def heard() -> Iterator[Sequence[str]]:
    """Start with no messages; the yielded sequence grows with each that TensorRT gives.

    Ctrl-C waits for the end of the block: raised in `log`, TensorRT would print it and go on.
    """
    log().lines.clear()
    with held():
        yield log().lines


@contextmanager
def unheard() -> Iterator[None]:
    """Forget what TensorRT says in the block: what it complains of there is no reason for a failure."""
    before = list(log().lines)
    try:
        yield
    finally:
        log().lines.clear()
        log().lines.extend(before)


def checked(start: Callable[[], bool], batch_size: int) -> None:
    """Call what starts an inference; where that says no, raise `failure` with what TensorRT said meanwhile."""
    before = len(log().lines)
    if not start():
        fail("TensorRT could not start an inference", batch_size, list(log().lines)[before:])


def fail(what: str, batch_size: int, lines: Sequence[str]) -> NoReturn:
    """Raise `failure` of the same arguments."""
    raise failure(what, batch_size, lines)


def failure(what: str, batch_size: int, lines: Sequence[str]) -> RuntimeError:
    """Return `OutOfMemoryError` when the messages say so, else a `BuildError` that repeats them.

    Most builds that pass kernels over for want of memory succeed all the same: that is the cause only where the other
    errors name none but that no kernel was left.
    """
    errors = [line for line in lines if not line.startswith("warning") and not _PASSED_OVER.search(line)]
    if ran_out(errors) or (ran_out(lines) and all(_NONE_LEFT.search(line) for line in errors)):
        return out_of_memory(batch_size, needed_bytes(lines))
    return BuildError("\n".join([what, *_brief(lines)]))


def _brief(lines: Sequence[str]) -> list[str]:
    told = list(dict.fromkeys(lines))
    if not told:
        return ["TensorRT gave no message"]
    errors = [line for line in told if not line.startswith("warning")]
    return [f"TensorRT {line}" for line in (errors or told)[-_SHOWN:]]
