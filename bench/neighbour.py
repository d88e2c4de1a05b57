"""`python -m bench.neighbour DEVICE HOW`: another tenant of the machine, who computes once told to begin."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.timing import neighbour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOW = {"steady": "computes without a rest", "bursts": "computes in bursts of 1 to 8 s"}
_SIDE = 1024


@contextmanager
def beside(device: str, how: str) -> Iterator[Callable[[], None]]:
    """Start a neighbour and wait until it could compute; yield what makes it begin, and end it with the block."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "bench.neighbour", device, how],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def begin() -> None:
        if process.stdin:
            process.stdin.write(b"begin\n")
            process.stdin.flush()

    try:
        if process.stdout:
            process.stdout.readline()
        yield begin
    finally:
        process.kill()
        process.communicate()


def main(device: str, how: str) -> None:
    """Say so when ready, and compute from the first line of standard input until killed."""
    work = _on_gpu() if device == "cuda" else _on_cpu()
    work()
    sys.stdout.write("ready\n")
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
