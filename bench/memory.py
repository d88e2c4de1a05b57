"""Memory of one case: its peak, of this process on a CPU and of the device on a GPU, and on a CPU its end."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.heap import freed_bytes, give_back_now

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = Path("/sys/fs/cgroup")
"""What a container may use, where it is told so (control groups, version 2)."""
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CORES = os.cpu_count() or 1
INEXACT_BYTES = max(32, 2 * _CORES) * _CORES * mmap.PAGESIZE
"""By how much a high-water mark may be off: the pages that Linux (6.2 and later) lets each core count for itself."""


class PeakMemory:
    """Bytes that a case needed at its worst, over what was in use when this object was made.

    On a CPU the kernel's high-water mark of resident memory, reset at the start (Linux; None elsewhere). It is as
    inexact as `INEXACT_BYTES` says.
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


@contextmanager
def within_free(device: str) -> Iterator[None]:
    """On a CPU, let what asks in the block for more memory than is free now be refused it.

    Linux promises more than it has, and kills a process that uses it: a whole session, for one case that is too large.
    """
    if device != "cpu" or sys.platform != "linux":
        yield
        return
    import resource  # noqa: PLC0415 - Unix alone has it

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = psutil.Process().memory_info()
    # What was freed and has no pages any more is free memory, and is used again without being asked for.
    kept = min(freed_bytes(), max(0, used.data - (used.rss - used.shared)))
    limit = int(used.data) + max(0, _free_bytes() - kept)
    if before != resource.RLIM_INFINITY:
        limit = min(limit, before)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _free_bytes() -> int:
    """Return the bytes that the machine, and the container that this process may be in, has left."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = ((_GROUP / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        told = dict(line.split() for line in (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        # Pages of files that nobody reads are given up before anybody is killed.
        return min(free, max(0, int(limit) - int(used) + int(told["inactive_file"])))
    except (OSError, KeyError, ValueError):  # no such group, or no limit: "max"
        return free


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
        give_back_now()
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
