"""Every name of TensorRT 10's and 11's that the backends use is one that the real bindings have.

`make test-tensorrt-api` fetches the bindings first; without them these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.trt_api import bindings

ROOT = Path(__file__).parents[2]
TEN, ELEVEN = bindings.VERSIONS
FAULTS = {
    "parser refuses": "cannot parse the graph fp16",
    "builder fails": "cannot build the engine",
    "plan does not load": "does not load the plan",
    "no context": "out of memory at batch 2",
    "timing cache refused": "ran",
}
ENDS = ("level-5", "uint8-input", "argmax", "mask", "io-fp16", "io-hwc8")
FLOATS = ("float-first", "float-last", "float-ends")
WRONG_NAMES = {
    "a method": ("_trt_config.py", ".set_memory_pool_limit(", ".set_memory_pool_limits(", "set_memory_pool_limits"),
    "a property": ("_trt_config.py", ".builder_optimization_level =", ".optimization_level =", "optimization_level"),
    "an enumeration's member": ("_trt_config.py", "MemoryPoolType.WORKSPACE", "MemoryPoolType.SCRATCH", "SCRATCH"),
    "an argument": ("_trt_run.py", "stream_handle=", "stream=", "takes no argument stream"),
    "an unguarded name of 8.6's": (
        "_trt_build.py",
        ".build_serialized_network(",
        ".build_engine(",
        "Builder.build_engine",
    ),
    "a layout": ("_trt_trials.py", '"HWC8"', '"NHWC8"', "NHWC8"),
    "a tensor's property": ("_trt_trials.py", ".allowed_formats =", ".formats =", "cannot set ITensor.formats"),
    "an engine's method": ("_trt_trial_engine.py", ".get_tensor_format(", ".get_format(", "ICudaEngine.get_format"),
    "an unguarded name of 10's": ("_trt_config.py", 'hasattr(trt.BuilderFlag, "FP16")', "True", "FP16"),
}
"""File, right text, wrong text, and what the error must say."""


def run(version: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run all scenarios on a version's bindings in a process of its own, for the sources under `root`."""
    folder = bindings.folder(version)
    if not folder.exists():
        pytest.skip(bindings.unavailable() or "TensorRT's bindings are not here: make test-tensorrt-api fetches them")
    libraries = os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))
    command = [sys.executable, "-m", "tests.bench.trt_api.scenarios", str(folder)]
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def answer(version: str) -> dict[str, Any]:
    """Return what the scenarios gave on a version; fails with the process's error text."""
    done = run(version)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["version"] == version
    return found


def test_tensorrt_10_has_every_name_on_its_code_path() -> None:
    found = answer(TEN)
    results = found["results"]
    for precision in ("fp32", "tf32", "fp16", "int8", "int8-entropy"):
        assert results[f"tensorrt_weak-{precision}"] == "ran"
    for precision in ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile"):
        assert results[f"tensorrt-{precision}"] == "ran"
    for name, trials in (("tensorrt-int8", ENDS), ("tensorrt-fp16", ENDS), ("tensorrt_weak-int8", (*ENDS, *FLOATS))):
        assert {trial: results[f"{name}-b2 {trial}"] for trial in trials} == dict.fromkeys(trials, "ran")
    assert {"ITensor.allowed_formats", "ILayer.precision"} <= set(found["used"])
    assert results["torch2trt"] == "ran"
    assert all(text in results[fault] for fault, text in FAULTS.items())
    assert {"IInt8MinMaxCalibrator", "IProgressMonitor", "IBuilderConfig.progress_monitor"} <= set(found["used"])


def test_tensorrt_11_has_every_name_on_its_code_path_and_skips_what_it_removed() -> None:
    results = answer(ELEVEN)["results"]
    for precision in ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile"):
        assert results[f"tensorrt-{precision}"] == "ran"
        assert "has no precision flags and calibrators" in results[f"tensorrt_weak-{precision}"]
    assert {trial: results[f"tensorrt-int8-b2 {trial}"] for trial in ENDS} == dict.fromkeys(ENDS, "ran")
    assert not any(case.startswith("tensorrt_weak") and " " in case for case in results)
    assert ELEVEN in results["torch2trt"]
    assert results["torch2trt"].startswith("skipped: torch2trt needs")
    assert all(text in results[fault] for fault, text in FAULTS.items())


@pytest.mark.parametrize("kind", WRONG_NAMES)
def test_a_wrong_name_is_found(kind: str, tmp_path: Path) -> None:
    file, right, wrong, says = WRONG_NAMES[kind]
    for package in ("bench", "models", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    source = tmp_path / "bench" / "backends" / file
    text = source.read_text(encoding="utf-8")
    assert right in text
    source.write_text(text.replace(right, wrong), encoding="utf-8")
    done = run(ELEVEN, tmp_path)
    assert done.returncode != 0, "the wrong name was not noticed"
    assert says in done.stderr.splitlines()[-1]
