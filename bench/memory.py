"""Peak memory of one case: of this process on a CPU, of the device on a GPU."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Bytes that a case needed at its worst, over what was in use when this object was made.

    On a CPU the kernel's high-water mark of resident memory, reset at the start (Linux; None elsewhere).
    On a GPU the device memory in use at each `sample`, whoever allocated it, less that at the start.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        release(device)
        self._start = _trimmed_resident() if device == "cpu" else _device_used()
        self._peak = self._start

    def sample(self) -> None:
        """Take note of the memory in use now (a CPU's peak needs no samples)."""
        if self._device != "cpu" and self._start is not None:
            self._peak = max(self._peak or 0, _device_used() or 0)

    @property
    def peak_bytes(self) -> int | None:
        """Bytes at the worst moment so far, or None where the system cannot tell."""
        self.sample()
        peak = _high_water() if self._device == "cpu" else self._peak
        return None if peak is None or self._start is None else max(0, peak - self._start)


def release(device: str) -> None:
    """Give back what nothing uses any more: a failed case's half-built engine lives on in its error's frames.

    Those refer to the error, and so to themselves: only the garbage collector frees them.
    """
    gc.collect()
    if device != "cpu":
        import torch  # noqa: PLC0415 - the gate and the report read this package on machines without torch

        torch.cuda.empty_cache()


def _trimmed_resident() -> int | None:
    """Give freed memory back to the system, reset the high-water mark, and return resident bytes."""
    if sys.platform != "linux":
        return None
    try:
        # Freed pages that the allocator kept would hide what the next case needs.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR.write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return None
    return int(psutil.Process().memory_info().rss)


def _high_water() -> int | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _device_used() -> int | None:
    import torch  # noqa: PLC0415 - as above

    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return int(total - free)
