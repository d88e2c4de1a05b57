"""What becomes of memory that an engine frees on a CPU: it stays with the process, as timings are to be repeatable.

PyTorch allocates every layer's result anew. By itself glibc gives freed memory back to the system or keeps it by what
this process happened to allocate before, and memory that comes from the system again is cleared page by page.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARY: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
"""The C library of this process."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As <malloc.h> numbers what mallopt sets."""
_NEVER = -1
_GLIBC_S_LARGEST = 32 << 20
"""Bytes of a block from which on it is the system's again once freed: the most that glibc comes to by itself."""
_LARGEST = 1 << 30, _GLIBC_S_LARGEST
"""The same where memory is kept; older versions take no more than the second."""
_GLIBC_S_LEAST = 128 << 10
"""Freed bytes from which on glibc gives them back, before it has seen larger blocks come and go."""


def keep_freed() -> bool:
    """Keep what is freed, but for blocks of 1 GiB and more; return whether the C library can (glibc)."""
    return _set(_TRIM_THRESHOLD, _NEVER) and any(_set(_MMAP_THRESHOLD, size) for size in _LARGEST)


def give_back_now() -> None:
    """Give back all that was freed; `AttributeError` where the C library cannot."""
    _LIBRARY.malloc_trim(0)


def freed_bytes() -> int:
    """Return the bytes that were freed and are with the process still; 0 where the C library does not tell."""
    if not hasattr(_LIBRARY, "mallinfo2"):
        return 0
    _LIBRARY.mallinfo2.restype = _Info
    return int(_LIBRARY.mallinfo2().fordblks)


class _Info(ctypes.Structure):
    """As <malloc.h> has it, from glibc 2.33 on."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


@contextmanager
def freed_given_back() -> Iterator[None]:
    """Give back what the block frees, as soon as glibc by itself may."""
    _set(_TRIM_THRESHOLD, _GLIBC_S_LEAST)
    _set(_MMAP_THRESHOLD, _GLIBC_S_LARGEST)
    try:
        yield
    finally:
        keep_freed()


def _set(what: int, value: int) -> bool:
    return hasattr(_LIBRARY, "mallopt") and bool(_LIBRARY.mallopt(what, value))
