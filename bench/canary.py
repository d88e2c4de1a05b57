"""The canary: a fixed workload of no engine, timed beside the cases, whose drift is the machine's and not theirs."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from bench.timing import call_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SIDE = 512
_ELEMENTS = 1 << 20
_CALLS = 7
_GPU_SIDE = 4096


class Canary:
    """A float32 matrix product and a pass over more memory than a core's cache; never changed, or baselines void.

    On a CPU once per thread and joined, each on one core: a BLAS that shares one product between threads spins, and
    its seconds jump tenfold as soon as another process runs. On a GPU by PyTorch, in FP32 without TF32.
    """

    def __init__(self, device: str, threads: int) -> None:
        self._work = _on_gpu() if device == "cuda" else _on_cpu(threads)
        self._blas = ThreadpoolController()
        self.measure()

    def measure(self, calls: int = _CALLS) -> float:
        """Return the median seconds of a few calls, tens of milliseconds in all."""
        with self._blas.limit(limits=1, user_api="blas"):
            return statistics.median(call_s(self._work) for _ in range(calls))


def _on_cpu(threads: int) -> Callable[[], object]:
    pool = ThreadPoolExecutor(threads)
    left = np.linspace(-1, 1, _SIDE * _SIDE, dtype=np.float32).reshape(_SIDE, _SIDE)
    stream = np.linspace(0, 1, _ELEMENTS, dtype=np.float32)
    outputs = [(np.empty_like(left), np.empty_like(stream)) for _ in range(threads)]

    def share(output: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        np.matmul(left, left, out=output[0])
        np.add(stream, stream, out=output[1])

    def work() -> None:
        list(pool.map(share, outputs))

    return work


def _on_gpu() -> Callable[[], object]:
    import torch  # noqa: PLC0415 - a CPU's canary needs none

    left = torch.linspace(-1, 1, _GPU_SIDE * _GPU_SIDE, device="cuda").reshape(_GPU_SIDE, _GPU_SIDE)
    product = torch.empty_like(left)

    def work() -> None:
        torch.matmul(left, left, out=product)
        torch.cuda.synchronize()

    return work
