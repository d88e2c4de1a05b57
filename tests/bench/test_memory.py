"""Peak memory is what a block needed at its worst, though it gave it back since."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import bench.engines
from bench import memory
from bench.backend import OutOfMemoryError
from bench.case import Case
from bench.engines import open_engine, open_settled
from bench.memory import INEXACT_BYTES, PeakMemory, within_free
from tests.bench.fake_engines import FakeEngine, fake_backend
from tests.bench.networks import quick, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MIB = 2**20
INEXACT_MIB = INEXACT_BYTES / MIB
"""On 2 cores next to nothing, on 64 32 MiB."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's high-water mark")


def _peak_mib(memory: PeakMemory) -> float:
    assert memory.peak_bytes is not None
    return memory.peak_bytes / MIB


@linux
def test_peak_holds_memory_that_was_given_back_since() -> None:
    memory = PeakMemory("cpu")
    block = np.ones(200 * MIB, np.uint8)
    del block
    assert 190 - INEXACT_MIB < _peak_mib(memory) < 260 + INEXACT_MIB


@linux
def test_peak_does_not_hold_what_was_used_before() -> None:
    before = np.ones(200 * MIB, np.uint8)
    memory = PeakMemory("cpu")
    assert before[-1] == 1
    assert _peak_mib(memory) < 50


@linux
def test_peak_of_one_case_does_not_hide_the_next_one_s() -> None:
    first = PeakMemory("cpu")
    del_me = np.ones(200 * MIB, np.uint8)
    del del_me
    assert _peak_mib(first) > 190 - INEXACT_MIB
    second = PeakMemory("cpu")
    assert _peak_mib(second) < 50 + INEXACT_MIB
    block = np.ones(100 * MIB, np.uint8)
    assert 90 - INEXACT_MIB < _peak_mib(second) < 160 + INEXACT_MIB
    assert block[0] == 1


@linux
def test_sampling_costs_no_memory() -> None:
    memory = PeakMemory("cpu")
    for _ in range(100):
        memory.sample()
    assert _peak_mib(memory) < 50


@linux
def test_first_engine_s_peak_is_without_what_its_library_keeps_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: list[NDArray[np.uint8]] = []

    def load(source: object, case: Case, folder: Path) -> FakeEngine:
        if not pool:
            pool.append(np.ones(200 * MIB, np.uint8))
        return FakeEngine()

    monkeypatch.setattr(bench.engines, "_settled", set())
    monkeypatch.setattr(bench.engines, "load_backend", lambda name: fake_backend(str(tmp_path / "fake.py"), load=load))
    (tmp_path / "fake.py").touch()
    source = tiny_source(tmp_path)
    found = []
    for size in (1, 2):
        with open_settled(source, Case("openvino", "fp32", size)) as opened:
            assert opened.built
            found.append(opened)
    # What the library took to start is in the seconds of the engine that started it.
    assert found[0].load_s > found[1].load_s
    assert all(_peak_mib(opened.memory) < 50 for opened in found)


@linux
def test_more_than_is_free_is_refused_while_a_case_is_open_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.memory._free_bytes", lambda: 256 * MIB)
    monkeypatch.setattr("bench.memory.freed_bytes", lambda: 0)
    source = tiny_source(tmp_path)
    with (
        pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(Unable to allocate 512. MiB"),
        quick(), open_engine(source, Case("torch", "fp32", 2)),
    ):  # fmt: skip
        np.ones(512 * MIB, np.uint8)
    assert np.ones(512 * MIB, np.uint8)[-1] == 1
    with within_free("cpu"):
        assert np.ones(64 * MIB, np.uint8)[-1] == 1
    with within_free("cuda"):
        assert np.ones(512 * MIB, np.uint8)[-1] == 1


@linux
def test_what_is_kept_without_pages_counts_as_free_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.memory._free_bytes", lambda: 1000 * MIB)
    for kept, data, more in ((0, 900, 1000), (600, 900, 400), (2000, 900, 300), (2000, 5000, 0)):
        used = SimpleNamespace(data=data * MIB, rss=300 * MIB, shared=100 * MIB)
        monkeypatch.setattr("bench.memory.psutil.Process", lambda used=used: SimpleNamespace(memory_info=lambda: used))
        monkeypatch.setattr("bench.memory.freed_bytes", lambda kept=kept: kept * MIB)
        asked: list[int] = []
        monkeypatch.setattr("resource.setrlimit", lambda _, limits, asked=asked: asked.append(limits[0]))
        with within_free("cpu"):
            assert asked == [(data + more) * MIB]


@linux
def test_a_container_s_limit_is_what_is_free_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    machine = memory._free_bytes()
    assert machine > 700 * MIB
    (tmp_path / "memory.current").write_text(f"{500 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {100 * MIB}\ninactive_file {300 * MIB}\n")
    for limit, free in ((900 * MIB, 700 * MIB), (100 * MIB, 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert memory._free_bytes() == free
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_bytes() > 700 * MIB
