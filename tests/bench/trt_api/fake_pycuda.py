"""A pycuda whose device memory is host memory: enough to run the TensorRT backends on a CPU, and to count leaks."""

from __future__ import annotations

import ctypes
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


class FakeError(Exception):
    """pycuda's base error."""


class FakeMemoryError(FakeError):
    """pycuda's error for a device without enough memory."""


class Device:
    """What a test can ask of the fake device: what lives there, and how much fits."""

    def __init__(self, limit_bytes: int = 1 << 30) -> None:
        self.limit_bytes = limit_bytes
        self.live: dict[int, NDArray[np.uint8]] = {}
        self.page_locked = 0
        self.gpus = 1
        self.capability = (9, 0)

    @property
    def used_bytes(self) -> int:
        """Device memory allocated and not freed."""
        return sum(array.nbytes for array in self.live.values())

    def view(self, address: int, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the values at a device address."""
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        return self.live[address][:size].view(dtype).reshape(shape)


class _Allocation:
    def __init__(self, device: Device, count: int) -> None:
        if device.used_bytes + count > device.limit_bytes:
            message = "cuMemAlloc failed: out of memory"
            raise FakeMemoryError(message)
        array = np.zeros(count, np.uint8)
        self._device, self._address = device, array.ctypes.data
        device.live[self._address] = array

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        del self._device.live[self._address]


class _PageLocked:
    """Owns an array's memory, as pycuda's page-locked allocation is the base of the array it backs."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._device, self._memory = device, np.zeros(shape, dtype)
        self.__array_interface__ = self._memory.__array_interface__
        device.page_locked += 1

    def free(self) -> None:
        self._device.page_locked -= 1


class _Stream:
    handle = 77

    def synchronize(self) -> None: ...


class _Event:
    def __init__(self, flags: int = 0) -> None: ...

    def record(self, stream: _Stream) -> None: ...

    def synchronize(self) -> None: ...


def _copy(to: int, source: int, count: int) -> None:
    ctypes.memmove(to, source, count)


def modules(device: Device) -> dict[str, ModuleType]:
    """Return `pycuda` and `pycuda.driver` as modules to put into `sys.modules`."""

    class _Device:
        def __init__(self, number: int) -> None: ...

        @staticmethod
        def count() -> int:
            return device.gpus

        def name(self) -> str:
            return "Fake GPU"

        def pci_bus_id(self) -> str:
            return "0000:00:06.0"

        def compute_capability(self) -> tuple[int, int]:
            return device.capability

        def retain_primary_context(self) -> Any:
            return SimpleNamespace(push=lambda: None, pop=lambda: None)

    contents: dict[str, Any] = {
        "Error": FakeError,
        "MemoryError": FakeMemoryError,
        "init": lambda: None,
        "get_driver_version": lambda: 13000,
        "Device": _Device,
        "Context": SimpleNamespace(synchronize=lambda: None),
        "Stream": _Stream,
        "Event": _Event,
        "event_flags": SimpleNamespace(DISABLE_TIMING=2),
        "mem_get_info": lambda: (device.limit_bytes - device.used_bytes, device.limit_bytes),
        "mem_alloc": lambda count: _Allocation(device, count),
        "pagelocked_empty": lambda shape, dtype: np.asarray(_PageLocked(device, shape, dtype)),
        "memcpy_htod": lambda to, array: _copy(int(to), array.ctypes.data, array.nbytes),
        "memcpy_htod_async": lambda to, array, _stream: _copy(int(to), array.ctypes.data, array.nbytes),
        "memcpy_dtoh_async": lambda array, source, _stream: _copy(array.ctypes.data, int(source), array.nbytes),
    }
    driver = ModuleType("pycuda.driver")
    driver.__dict__.update(contents)
    package = ModuleType("pycuda")
    package.__dict__.update({"VERSION_TEXT": "fake", "driver": driver})
    return {"pycuda": package, "pycuda.driver": driver}


class FakeCudaLibrary:
    """libcuda's stream capture and graph calls; `fails` names the call that returns an error."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: str | None = None
        self.relaunch: Any = None
        """What a graph launch does: tests set it to the captured work."""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "cuGetErrorName":
                ctypes.cast(arguments[1], ctypes.POINTER(ctypes.c_char_p))[0] = b"CUDA_ERROR_FAKE"
            if name in ("cuStreamEndCapture", "cuGraphInstantiateWithFlags") and name != self.fails:
                handle = arguments[1] if name == "cuStreamEndCapture" else arguments[0]
                ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = 0x99
            if name == "cuGraphLaunch" and self.relaunch is not None:
                self.relaunch()
            return 901 if name == self.fails else 0

        call.__name__ = name
        return call
