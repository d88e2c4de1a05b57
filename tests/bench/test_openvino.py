"""OpenVINO leaves a process that Ctrl-C can end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

ROOT = Path(__file__).parents[2]
_INTERRUPTED = """
import gc, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
from bench.backends import openvino
first, second = (openvino.product("fp32", "cpu", 1, 64) for _ in range(2))
for number in range(2):
    del first
    gc.collect()
    first, second = second, None
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_models_that_went_in_the_order_they_came_is_an_interrupt() -> None:
    found = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _INTERRUPTED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "interrupted\n"), found.stderr
