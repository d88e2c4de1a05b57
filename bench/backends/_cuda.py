"""CUDA by pycuda, on the primary context that torch shares: one context, one stream an engine, CUDA graphs."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import weakref
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import torch
from pycuda import VERSION_TEXT, driver

if TYPE_CHECKING:
    from collections.abc import Callable

_DEVICE = 0
"""The device that torch uses unless told otherwise."""
_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do does not spoil a capture."""


class Closable(Protocol):
    """Anything that holds device memory until it is closed."""

    def close(self) -> None:
        """Release it; calling it again does nothing."""


_open: weakref.WeakSet[Any] = weakref.WeakSet()


class CudaError(RuntimeError):
    """A driver call that failed; the text names the call and the driver's name for the error."""


def missing() -> str | None:
    """Return why there is no GPU to run on, or None when there is one."""
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        return f"no NVIDIA driver that works: {error}"
    return None if count else "no NVIDIA GPU in this machine"


@cache
def context() -> Any:  # noqa: ANN401 - pycuda has no types
    """Return the device's primary context, made current on this thread; the same one at every call."""
    driver.init()
    primary = driver.Device(_DEVICE).retain_primary_context()
    primary.push()
    # pycuda aborts the process when a context is still on its stack at exit.
    atexit.register(_leave, primary)
    return primary


def versions() -> dict[str, str]:
    """Return pycuda's version, the driver's CUDA version, and the GPU's name and compute capability."""
    major, minor = divmod(driver.get_driver_version(), 1000)
    found = {"pycuda": VERSION_TEXT, "cuda_driver": f"{major}.{minor // 10}"}
    if missing() is None:
        found |= {"gpu": driver.Device(_DEVICE).name(), "compute_capability": ".".join(map(str, capability()))}
    return found


def capability() -> tuple[int, int]:
    """Return the GPU's compute capability, such as (8, 0) for Ampere."""
    major, minor = driver.Device(_DEVICE).compute_capability()
    return int(major), int(minor)


def bus_id() -> str:
    """Return where the GPU sits, such as 0000:00:06.0: what tells one of a machine's GPUs from another."""
    return str(driver.Device(_DEVICE).pci_bus_id())


def tracked(holder: Closable) -> None:
    """Have `holder` closed before the context goes, should nobody close it earlier."""
    _open.add(holder)


def tidy() -> None:
    """Give back what torch and dropped objects hold, so that a build or the next case sees all free memory."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


class Graph:
    """The work of one call, captured from a stream and replayed with one driver call.

    pycuda has no CUDA graphs, so these are the driver's own functions.
    """

    def __init__(self, stream: Any, work: Callable[[], None]) -> None:  # noqa: ANN401 - pycuda has no types
        """Capture what `work` puts on the pycuda `stream`; `CudaError`, or what `work` raises, on failure."""
        self._library = _library()
        self._stream = ctypes.c_void_p(stream.handle)
        self._executable = ctypes.c_void_p()
        graph = self._captured(work)
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)
        self._launch = self._library.cuGraphLaunch

    def _captured(self, work: Callable[[], None]) -> ctypes.c_void_p:
        graph = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_THREAD_LOCAL))
        try:
            work()
        except BaseException:
            # Whatever went wrong, the stream must leave capture mode; a second error would hide the first.
            self._library.cuStreamEndCapture(self._stream, ctypes.byref(graph))
            if graph.value is not None:
                self._library.cuGraphDestroy(graph)
            raise
        self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        return graph

    def launch(self) -> None:
        """Put the captured work on the stream again."""
        status = self._launch(self._executable, self._stream)
        if status:
            raise _error(self._launch.__name__, status)

    def close(self) -> None:
        """Release the graph; calling it again does nothing."""
        if self._executable.value is not None:
            self._call("cuGraphExecDestroy", self._executable)
            self._executable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - ctypes values
        status = getattr(self._library, name)(*arguments)
        if status:
            raise _error(name, status)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")


def _error(call: str, status: int) -> CudaError:
    name = ctypes.c_char_p()
    _library().cuGetErrorName(ctypes.c_int(status), ctypes.byref(name))
    return CudaError(f"{call}: {(name.value or b'unknown error').decode()} ({status})")


def _leave(primary: Any) -> None:  # noqa: ANN401 - pycuda has no types
    try:
        for holder in list(_open):
            holder.close()
    finally:
        primary.pop()
