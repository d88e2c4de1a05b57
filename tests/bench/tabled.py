"""What the tests of the results tables share: machines and streams as a run's file holds them, the tables' lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.tables import section
from tests.bench.runs import MACHINE

if TYPE_CHECKING:
    from pathlib import Path

LATER = "2030-06-15T13:00:00+00:00"
"""An hour after the runs that say nothing else."""


def machine(python: str) -> dict[str, Any]:
    """Return a machine's description under one version of Python."""
    return {**MACHINE, "runtimes": {"python": python, "torch": "2.11.0"}}


def stream(case: str, fps: float, **changes: Any) -> dict[str, Any]:
    """Return a streamed case as pytest-benchmark writes it, as far as the tables read it; no FPS did no image."""
    batch = int(case.rpartition("b")[2])
    done, runtime_s = (1000, 1000 / fps) if fps else (0, 1.0)
    row = {
        "case": case,
        "batch_size": batch,
        "samples": 1000,
        "done": done,
        "partial": False,
        "runtime_s": runtime_s,
        "fps": fps,
        "share_of_engine": 0.985,
        "latency_ms": None,
        "stages_s": {"infer": runtime_s},
        "cold_start_s": {"load": 0.5, "first": 0.25, "warm_up": 0.5},
        "plain": None,
    }
    return {"name": f"test_stream[{case}]", "extra_info": {"stream": {**row, **changes}}}


def tables(*paths: Path) -> list[str]:
    """Return the lines of files' tables, in which they are named without folder and ending."""
    return section(paths, lambda path: path.stem).splitlines()


def cells(lines: list[str], scheme: str) -> list[list[str]]:
    """Return the figures of a scheme's line in each table that has one."""
    return [line.strip("| ").split(" | ")[1:] for line in lines if line.startswith(f"| {scheme} |")]
