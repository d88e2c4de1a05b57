"""Memory that an engine frees on a CPU stays with the process, unless a trial gives it back."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.case import Case
from bench.engines import open_engine
from bench.heap import freed_bytes, keep_freed
from tests.bench.networks import tiny_source
from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

glibc = pytest.mark.skipif(not keep_freed(), reason="only glibc has mallopt")
FAULTS = """
import ctypes
import resource
from bench.heap import freed_given_back, keep_freed

malloc, free, memset = (getattr(ctypes.CDLL(None), name) for name in ("malloc", "free", "memset"))
malloc.restype = ctypes.c_void_p
for call in (free, memset):
    call.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)[: 3 if call is memset else 1]

def faults(rounds=4, blocks=8, size=16 << 20):
    # What layers do: results that are all freed once the last one is there.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        held = [malloc(size) for _ in range(blocks)]
        for place in held:
            memset(place, 1, size)
        for place in held:
            free(place)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / rounds

keep_freed()
faults()
kept = faults()
with freed_given_back():
    faults()
    back = faults()
faults()
print(kept, back, faults())
"""
FREED = """
import numpy as np
from bench.heap import freed_bytes, keep_freed

keep_freed()
blocks = [np.ones(64 << 20, np.uint8) for _ in range(2)]
before = freed_bytes()
del blocks[0]  # the other one lies above it
print(freed_bytes() - before)
"""


def _printed(script: str) -> list[float]:
    """Return the numbers that a fresh process prints: where memory ran out once, glibc takes it elsewhere."""
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in shown.split()]


@glibc
def test_kept_memory_is_not_cleared_again_and_given_back_it_is() -> None:
    kept, back, again = _printed(FAULTS)
    assert kept < 20
    assert again < 20
    # A page of 2 MiB is a fault as one of 4 KiB is.
    assert back >= 8 * 16 / 2


@glibc
def test_engine_on_a_cpu_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("bench.engines.keep_freed", lambda: asked.append(True))
    with open_engine(tiny_source(tmp_path), Case("torch", "fp32", 1)):
        assert asked == [True]


@pytest.mark.skipif(not freed_bytes(), reason="only glibc, from 2.33 on, has mallinfo2")
def test_freed_memory_is_told() -> None:
    assert _printed(FREED) == [pytest.approx(64 << 20, rel=0.01)]
