"""One error for a case that does not fit, whoever ran out of memory: TensorRT, torch or pycuda."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from pycuda import driver

from bench.backend import OutOfMemoryError
from bench.backends._cuda import tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.backend import Source
    from bench.case import Case


class _Replaying(Protocol):
    """An engine that replays a CUDA graph, or says why it cannot."""

    graph_fault: str | None

    def close(self) -> None:
        """Release everything."""


T = TypeVar("T")
E = TypeVar("E", bound=_Replaying)

_RAN_OUT = re.compile(
    r"out of memory|OutOfMemory|memory is insufficient|insufficient memory|user allocator error|could not be allocated",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"(?:requested size of|request(?:ed)?:?|tried to allocate|allocat\w+|of GPU memory)\s+"
    r"\(?(\d+(?:\.\d+)?)[\s-]*(bytes?|[KMG]i?B)?",
    re.IGNORECASE,
)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def ran_out(lines: Sequence[str]) -> bool:
    """Return whether a runtime's messages say that memory ran out."""
    return any(_RAN_OUT.search(line) for line in lines)


def needed_bytes(lines: Sequence[str]) -> int | None:
    """Return the largest single request that the messages name, in bytes, or None when they name none."""
    amounts = [
        int(float(number) * _UNITS.get((unit or "b")[0].lower(), 1))
        for line in lines
        for number, unit in _AMOUNT.findall(line)
    ]
    return max(amounts, default=None)


def out_of_memory(batch_size: int, needs: int | None) -> OutOfMemoryError:
    """Return the error for a batch that needs `needs` bytes, or, where nobody said, more than is free now."""
    if needs is None:
        free, _ = driver.mem_get_info()
        return OutOfMemoryError(
            f"out of memory at batch {batch_size} (needs more than the {free / 2**30:.1f} GiB free)"
        )
    return OutOfMemoryError(f"out of memory at batch {batch_size} (needs about {needs / 2**30:.1f} GiB)")


def guarded(batch_size: int, work: Callable[[], T], needs: Callable[[], int | None] = lambda: None) -> T:
    """Return what `work` returns; where memory runs out, leave the device clean and raise `OutOfMemoryError`.

    `needs` returns the bytes that the case needs where that is known; else the failed allocation is named.
    A function and not a context manager: only so are the frames that hold half-built things gone before tidying.
    """
    try:
        return work()
    except OutOfMemoryError as error:
        failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
    except (driver.MemoryError, RuntimeError) as error:
        # What runs out beside PyTorch's allocator, as for page-locked memory or a CUDA graph, is CUDA's error to it.
        ours = isinstance(error, (driver.MemoryError, torch.cuda.OutOfMemoryError))
        if not ours and "CUDA error: out of memory" not in str(error):
            raise
        failure = out_of_memory(batch_size, needs() or needed_bytes([str(error)]))
    tidy()
    raise failure


def opened(engine: E, source: Source, case: Case, work: Callable[[], None], needs: Callable[[], int | None]) -> E:
    """Return `engine` once `work` has opened it; where that fails, close it and leave the device clean."""
    try:
        guarded(case.batch_size, work, needs)
    except BaseException:
        engine.close()
        tidy()
        raise
    if engine.graph_fault is not None:
        source.say(f"{case}: runs without a CUDA graph: {engine.graph_fault}")
    return engine
