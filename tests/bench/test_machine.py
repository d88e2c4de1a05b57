"""A machine has one clean name, and no more threads than this process may use."""

from __future__ import annotations

import json
import os
import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from bench.machine import Machine, physical_cores, runtimes, this_machine

if TYPE_CHECKING:
    from pathlib import Path

XEON = Machine(
    "Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz",
    4,
    ("avx2", "avx512f", "avx512_vnni", "amx_int8"),
    None,
    None,
    "Linux",
)


def test_threads_are_no_more_than_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
        assert physical_cores() == 1


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the kernel's account of a machine of 16 cores, all of which a process may use."""
    for name in ("_CPUS", "_GROUPS", "_OWN_GROUPS"):
        monkeypatch.setattr(f"bench.cores.{name}", tmp_path / name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr("bench.machine.psutil.cpu_count", lambda logical: 16)
    return tmp_path


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 16),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a.slice/b", {"a.slice/cpu.max": "400000 100000", "a.slice/b/cpu.max": "max 100000"}, 4),
        ("3:cpu,cpuacct:/x\n4:memory:/", {"cpu/cpu.cfs_quota_us": "350000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("3:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
    ],
)
def test_threads_are_no_more_than_a_container_has_time_for(
    large: Path, own: str, files: dict[str, str], cores: int
) -> None:
    (large / "_OWN_GROUPS").write_text(f"{own}\n")
    for name, text in files.items():
        (large / "_GROUPS" / name).parent.mkdir(parents=True, exist_ok=True)
        (large / "_GROUPS" / name).write_text(f"{text}\n")
    assert physical_cores() == cores


@pytest.mark.parametrize(("pinned", "cores"), [({0, 8}, 1), ({0, 1, 8, 9}, 2), ({0, 1, 2, 3}, 4), ({0, 1, 10}, 3)])
def test_threads_of_a_process_pinned_to_hyperthreads_are_its_cores(
    large: Path, monkeypatch: pytest.MonkeyPatch, pinned: set[int], cores: int
) -> None:
    for cpu in range(16):
        place = large / "_CPUS" / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        place.parent.mkdir(parents=True)
        place.write_text(f"{cpu % 8},{cpu % 8 + 8}\n")
    monkeypatch.setattr("bench.machine.psutil.cpu_count", lambda logical: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: pinned, raising=False)
    assert physical_cores() == cores


@pytest.mark.usefixtures("large")
def test_threads_are_physical_cores_not_hyperthreads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr("bench.machine.psutil.cpu_count", lambda logical: 16 if logical else 8)
    assert physical_cores() == 8
    monkeypatch.setattr("bench.machine.psutil.cpu_count", lambda logical: None)
    assert physical_cores() == 16


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (XEON, "intel-xeon-platinum-8480c-4c-amx-int8"),
        (
            Machine("AMD EPYC 9B14 96-Core Processor", 2, ("avx2",), None, None, "Linux"),
            "amd-epyc-9b14-96-core-2c-avx2",
        ),
        (Machine("Apple M2", 8, (), None, None, "Darwin arm64"), "apple-m2-8c"),
        (Machine("any", 16, ("avx2",), "NVIDIA H200", "550.1", "Linux"), "nvidia-h200"),
    ],
)
def test_id_is_a_clean_file_name(machine: Machine, name: str) -> None:
    assert machine.id == name


def test_this_machine_s_id_is_a_clean_file_name_and_always_the_same() -> None:
    machine = this_machine("cpu")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine.id)
    assert machine.gpu is None
    assert machine.cores == physical_cores()
    assert this_machine("cpu").id == machine.id


def test_arm_machines_of_other_cpus_are_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two server CPUs of one maker, of equal features, as Linux tells them."""
    found = []
    monkeypatch.setattr("bench.machine._CPUINFO", tmp_path / "cpuinfo")
    for part in ("0xd40", "0xd4f"):
        core = f"Features\t: fp asimd asimddp i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: {part}\n"
        (tmp_path / "cpuinfo").write_text("".join(f"processor\t: {cpu}\n{core}\n" for cpu in range(2)))
        this_machine.cache_clear()
        found.append(this_machine("cpu"))
    this_machine.cache_clear()
    assert [machine.features for machine in found] == [("asimddp", "i8mm", "bf16")] * 2
    assert [machine.cpu.split()[-2:] for machine in found] == [["0x41", "0xd40"], ["0x41", "0xd4f"]]
    assert found[0].id != found[1].id


def test_machine_is_ready_for_json_with_its_runtimes() -> None:
    found = this_machine("cpu").as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["id"] == this_machine("cpu").id
    assert {"python", "torch", "openvino", "numpy", "pytest-benchmark"} <= runtimes().keys()
    assert {"onnxruntime", "onnxruntime-gpu"} & runtimes().keys()


@pytest.mark.parametrize("visible", [None, "0", "MIG-x"])
def test_gpu_is_the_one_that_cuda_takes_for_its_first(monkeypatch: pytest.MonkeyPatch, visible: str | None) -> None:
    """The driver counts another first: CUDA's own order is by speed, and it may see a part of a GPU alone."""
    driver = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: ["GPU-a1", "GPU-b1"][handle],
        nvmlDeviceGetName=lambda handle: ["display", "fast"][handle],
        nvmlSystemGetDriverVersion=lambda: b"600.1",
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: ["fast", "display"][device])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = this_machine.__wrapped__("cuda")
    assert (machine.gpu, machine.driver) == ("fast", "600.1")


def test_a_container_without_nvml_has_a_gpu_and_no_driver_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotFoundError(Exception):
        """As NVML's error where its library is not there."""

    def init() -> None:
        raise NotFoundError

    driver = SimpleNamespace(nvmlInit=init, NVMLError_LibraryNotFound=NotFoundError)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA T4")
    machine = this_machine.__wrapped__("cuda")
    assert (machine.gpu, machine.driver, machine.id) == ("NVIDIA T4", None, "nvidia-t4")
