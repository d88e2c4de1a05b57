"""The worked example of a backend is one: the conformance suite, lint and a measurement take it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.documents import ROOT, example
from tests.fixtures.sessions import ON_CPU, QUICK, on_one_core

if TYPE_CHECKING:
    from pathlib import Path


def _run(folder: Path, command: str, *more: str) -> str:
    """Return what a command of this Python prints in the folder."""
    words = [sys.executable, "-m", *shlex.split(command), *more]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    answer = subprocess.run(
        words, cwd=folder, env=plain, check=False, capture_output=True, text=True, preexec_fn=on_one_core
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the suite that holds the example."""
    folder = tmp_path / "copy"
    for part in ("bench", "fixtures", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("conftest.py", "pyproject.toml", "Makefile", "models"):
        (folder / file).symlink_to(ROOT / file)
    (folder / "bench" / "backends" / "onnx_reference.py").write_text(example())
    return folder


def test_example_backend_passes_the_conformance_suite_and_can_be_measured(copy: Path, tmp_path: Path) -> None:
    shown = _run(copy, "pytest tests/bench/test_conformance.py -k onnx_reference", "-q")
    assert int(re.findall(r"(\d+) passed", shown)[0]) >= 2 * 13
    cache = (*ON_CPU, f"--cache-dir={tmp_path / 'cache'}", "--model=unet-small", "--image-size=32", "-kinference")
    shown = _run(copy, "pytest bench/ --backends onnx_reference --batch-sizes 1", *cache, *QUICK)
    assert re.search(r"^onnx_reference-fp32-b1 .* 1\.00000 ", shown, re.MULTILINE)


def test_example_backend_passes_lint(copy: Path) -> None:
    pytest.importorskip("ruff", reason="lint needs requirements-dev.txt")
    _run(copy, "ruff check bench/backends/onnx_reference.py")
