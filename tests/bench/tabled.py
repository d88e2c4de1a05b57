"""What the tests of the results tables share: streams as a run's file holds them, and the figures of a line."""

from __future__ import annotations

from typing import Any


def stream(case: str, fps: float, **changes: Any) -> dict[str, Any]:
    """Return a streamed case as pytest-benchmark writes it, as far as the tables read it."""
    batch = int(case.rpartition("b")[2])
    row = {
        "case": case,
        "batch_size": batch,
        "samples": 1000,
        "done": 1000,
        "partial": False,
        "runtime_s": 1000 / fps,
        "fps": fps,
        "share_of_engine": 0.985,
        "latency_ms": None,
        "stages_s": {"infer": 1000 / fps},
        "cold_start_s": {"load": 0.5, "first": 0.25, "warm_up": 0.5},
        "plain": None,
    }
    return {"name": f"test_stream[{case}]", "extra_info": {"stream": {**row, **changes}}}


def cells(lines: list[str], scheme: str) -> list[list[str]]:
    """Return the figures of a scheme's line in each table that has one."""
    return [line.strip("| ").split(" | ")[1:] for line in lines if line.startswith(f"| {scheme} |")]
