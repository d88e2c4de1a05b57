"""What machine this is: the names that measurements are only comparable within."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

from bench.cores import distinct_cores, quota

_CPUINFO = Path("/proc/cpuinfo")
_FEATURES = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "bf16",
)
_RUNTIMES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "pycuda",
    "torch2trt",
    "numpy",
    "pytest-benchmark",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as far as speed and INT8 results depend on it."""

    cpu: str
    cores: int
    features: tuple[str, ...]
    gpu: str | None
    driver: str | None
    system: str

    @property
    def id(self) -> str:
        """A file name for this machine's baseline: the GPU's name, or CPU, cores and vector units."""
        if self.gpu:
            return _slug(self.gpu)
        best = [name for name in self.features if "vnni" in name or "int8" in name or name == "i8mm"][-1:] or list(
            self.features[-1:]
        )
        return _slug("-".join([self.cpu, f"{self.cores}c", *best]))

    def as_dict(self) -> dict[str, object]:
        """Return the fields, the id and the runtimes' versions, ready for JSON."""
        return {"id": self.id, **asdict(self), "features": list(self.features), "runtimes": runtimes()}


def physical_cores() -> int:
    """Return the physical cores this process may use: what every engine's thread count is set to.

    Of a container's CPU time the whole cores count, one at least: threads beyond them would be stopped, all at once,
    for the rest of each period.
    """
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = distinct_cores(available)
    return max(1, int(min(psutil.cpu_count(logical=False) or cores, cores, quota())))


def runtimes() -> dict[str, str]:
    """Return the versions of the runtimes that are installed."""
    found = {}
    for name in _RUNTIMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}


@cache
def this_machine(device: str) -> Machine:
    """Return this machine as `device` ("cpu" or "cuda") sees it."""
    gpu, driver = _gpu() if device == "cuda" else (None, None)
    name, flags = _cpu()
    return Machine(
        cpu=name,
        cores=physical_cores(),
        features=tuple(feature for feature in _FEATURES if feature in flags),
        gpu=gpu,
        driver=driver,
        system=f"{platform.system()} {platform.machine()}",
    )


def _cpu() -> tuple[str, frozenset[str]]:
    """Return the CPU's name and features; an ARM one has no name in Linux, but its maker's and model's numbers."""
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.exists() else ""
    fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", text.partition("\n\n")[0], flags=re.MULTILINE))
    numbers = [fields[field] for field in ("CPU implementer", "CPU part") if field in fields]
    numbered = " ".join([platform.machine(), *numbers]) if numbers else ""
    name = fields.get("model name") or numbered or platform.processor() or platform.machine()
    return name.strip(), frozenset((fields.get("flags") or fields.get("Features") or "").split())


def _gpu() -> tuple[str, str | None]:
    """Return the name of the GPU that CUDA takes for its first, which engines run on, and the driver's version.

    The version is None in a container that was given CUDA alone, without NVML (NVIDIA_DRIVER_CAPABILITIES=compute).
    NVML counts by bus and knows nothing of CUDA_VISIBLE_DEVICES; CUDA counts by speed where GPUs differ, unless
    CUDA_DEVICE_ORDER says otherwise, and its device may be a part of a GPU (MIG).
    """
    import pynvml  # noqa: PLC0415 - only GPU machines have a driver to ask
    import torch  # noqa: PLC0415 - the gate and the report read this package on machines without torch

    name = torch.cuda.get_device_name(0)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return name, None
    try:
        return name, _text(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _slug(text: str) -> str:
    plain = re.sub(r"\(r\)|\(tm\)|processor|cpu|@ *[\d.]+ *[gm]hz", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
