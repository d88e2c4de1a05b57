"""Where a CPU's memory ends, each backend says so, for a sweep to go on with the others."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.backend import OutOfMemoryError
from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import quick, tiny_source
from tests.documents import ROOT

BACKENDS = ("onnxruntime", "openvino", "torch")
TOO_MANY = 10**8
LIMIT_BYTES = 16 * 2**30
"""Enough to import PyTorch with CUDA's libraries, and too little for so many images."""


def open_all(folder: str) -> None:
    """Print what the engines of too many images fail with; run in a process of its own, whose memory has a limit."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    source = tiny_source(Path(folder))
    for name in BACKENDS:
        try:
            with quick(), open_engine(source, Case(name, "fp32", TOO_MANY)):
                sys.stdout.write(f"{name}: there was enough\n")
        except OutOfMemoryError as error:
            sys.stdout.write(f"{name}: {error}\n")


def test_every_backend_says_where_memory_ends(tmp_path: Path) -> None:
    code = f"from {__name__} import open_all; open_all({str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    found = dict(line.split(": ", 1) for line in ended.stdout.splitlines())
    assert tuple(found) == BACKENDS
    assert all(told.startswith(f"out of memory at batch {TOO_MANY} (") for told in found.values()), found


def test_arrays_beside_an_engine_count_as_its_own(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    with (
        pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(Unable to allocate "),
        quick(), open_engine(source, Case("torch", "fp32", 2)),
    ):  # fmt: skip
        np.empty(2**60, np.uint8)
