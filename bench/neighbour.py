"""`python -m bench.neighbour DEVICE HOW`: another tenant of the machine, who computes once told to begin."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from bench.timing import neighbour
from bench.workers import ROOT, WorkerError, ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOW = {"steady": "computes without a rest", "bursts": "computes in bursts of 1 to 8 s"}
_SIDE = 1024
_READY = "ready\n"


class Neighbour:
    """A neighbour that is ready to compute; `WorkerError` where it ends before it is."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process, self._log = process, log
        if not process.stdout or process.stdout.readline() != _READY:
            raise self._ended()

    def begin(self) -> None:
        """Let it compute from now on; `WorkerError` where it has ended."""
        try:
            if self._process.stdin:
                self._process.stdin.write("begin\n")
                self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def check(self) -> None:
        """Raise `WorkerError` where it has ended: what was timed meanwhile was not timed beside it."""
        if self._process.poll() is not None:
            raise self._ended()

    def _ended(self) -> WorkerError:
        return ended("the neighbour", self._process, self._log)


@contextmanager
def beside(device: str, how: str) -> Iterator[Neighbour]:
    """Start a neighbour, wait until it could compute and end it with the block; `WorkerError` where it ends before."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "bench.neighbour", device, how],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            other = Neighbour(process, log)
            yield other
            other.check()
        finally:
            process.kill()
            process.communicate()


def main(device: str, how: str) -> None:
    """Say so when ready, and compute from the first line of standard input until killed."""
    work = _on_gpu() if device == "cuda" else _on_cpu()
    work()
    sys.stdout.write(_READY)
    sys.stdout.flush()
    if not sys.stdin.readline():
        return
    if how == "bursts":
        neighbour(work, seed=0)
    while True:
        work()


def _on_cpu() -> Callable[[], object]:
    import numpy as np  # noqa: PLC0415 - each neighbour needs one of the two

    left = np.ones((_SIDE, _SIDE), np.float32)
    return lambda: left @ left


def _on_gpu() -> Callable[[], object]:
    import torch  # noqa: PLC0415 - each neighbour needs one of the two

    left = torch.ones((4 * _SIDE, 4 * _SIDE), device="cuda")

    def work() -> None:
        torch.matmul(left, left)
        torch.cuda.synchronize()

    return work


if __name__ == "__main__":
    main(*sys.argv[1:])
