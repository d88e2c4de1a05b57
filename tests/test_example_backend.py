"""The worked example of a backend is one: the conformance suite, lint and a measurement take it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.documents import ROOT, example
from tests.fixtures.sessions import ON_CPU, QUICK, on_one_core

if TYPE_CHECKING:
    from pathlib import Path


def test_example_backend_passes_the_conformance_suite_and_lint_and_can_be_measured(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for part in ("bench", "fixtures", "tests"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("conftest.py", "pyproject.toml", "Makefile", "models"):
        (copy / file).symlink_to(ROOT / file)
    backend = copy / "bench" / "backends" / "onnx_reference.py"
    backend.write_text(example())
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    def run(command: str, *more: str) -> str:
        words = [sys.executable, "-m", *shlex.split(command), *more]
        answer = subprocess.run(
            words, cwd=copy, env=plain, check=False, capture_output=True, text=True, preexec_fn=on_one_core
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    shown = run("pytest tests/bench/test_conformance.py -k onnx_reference", "-q")
    assert int(re.findall(r"(\d+) passed", shown)[0]) >= 2 * 13
    cache = (*ON_CPU, f"--cache-dir={tmp_path / 'cache'}", "--model=unet-small", "--image-size=32", "-kinference")
    shown = run("pytest bench/ --backends onnx_reference --batch-sizes 1", *cache, *QUICK)
    assert re.search(r"^onnx_reference-fp32-b1 .* 1\.00000 ", shown, re.MULTILINE)
    run("ruff check bench/backends/onnx_reference.py")
