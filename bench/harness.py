"""`python -m bench.harness`: does the harness distort? This suite's FPS against a bare loop and `benchmark_app`."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino as ov
from rich.progress import track

from bench.arguments import count
from bench.cache import DEFAULT_ROOT, Cache
from bench.case import Case
from bench.counted import fps
from bench.engines import open_engine
from bench.medians import median_interval
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.timing import round_s, warm_up
from models.images import normalise
from models.network import load_network

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

_ROOT = Path(__file__).parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Time the three ways in turn, many times over, and print the ratio of their FPS."""
    parser = argparse.ArgumentParser(prog="python -m bench.harness", description=__doc__)
    parser.add_argument("--precision", default="int8", choices=("fp32", "bf16", "int8"), help="default: %(default)s")
    parser.add_argument("--batch-size", type=count, default=1, help="images per inference (default: %(default)s)")
    parser.add_argument("--turns", type=count, default=15, help="times that each way is timed (default: %(default)s)")
    parser.add_argument("--seconds", type=count, default=3, help="whole seconds per timing (default: %(default)s)")
    parser.add_argument("--cache-dir", type=Path, default=DEFAULT_ROOT, help="where engines are kept")
    options = parser.parse_args(arguments)
    cache = Cache(options.cache_dir, print)
    case = Case("openvino", options.precision, options.batch_size)
    size = (512, 512)
    calibration = stored_split(cache, "calibration", size)
    source = NetworkSource(load_network("unet-small"), calibration, size, "cpu", cache)
    turns: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(source, case, Path(folder), options.seconds)
        for turn in track(range(options.turns), f"{case}, {options.turns} turns"):
            # Each turn begins with another way, so that a drift of the machine favours none.
            names = [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]
            turns.append({name: ways[name]() for name in names})
    print(
        f"{case}, {source.threads} threads, {len(turns)} turns of {options.seconds:g} s each way, medians of the turns"
    )
    for name in ways:
        print(f"{name:14} {statistics.median(turn[name] for turn in turns):8.2f} FPS{ratio(turns, name)}")
    return 0


def ratio(turns: list[dict[str, float]], name: str) -> str:
    """Return in words how the suite's FPS stands to another way's, turn by turn."""
    if name == "suite":
        return ""
    median, low, high = median_interval([turn["suite"] / turn[name] for turn in turns])
    return f"   suite / {name} {median:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _ways(source: NetworkSource, case: Case, folder: Path, seconds: int) -> dict[str, Callable[[], float]]:
    """Return the three ways to time one case, each a function that returns FPS; all hold the same graph."""
    model = source.graph(f"{case.precision}-unsigned" if case.arithmetic == "int8" else "fp32")
    images = normalise(source.calibration_set.images[: case.batch_size])
    return {
        "suite": lambda: _suite(folder, case, source.cache.root, seconds),
        "bare loop": lambda: _bare(source, case, images, seconds),
        "benchmark_app": lambda: _benchmark_app(model, source, case, seconds),
    }


def _suite(folder: Path, case: Case, cache_dir: Path, seconds: int) -> float:
    """Run the suite itself, in a process of its own, and read the FPS from its JSON."""
    out = folder / "suite.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "bench/test_inference.py",
        "-q",
        "--benchmark-quiet",
        "--model",
        "unet-small",
    ]
    command += ["--backends", case.backend, "--precisions", case.precision, "--batch-sizes", str(case.batch_size)]
    command += ["--device", "cpu", "--cache-dir", str(cache_dir), "--benchmark-json", str(out)]
    # Rounds of one inference: benchmark_app's median is one of single inferences, which noise moves less than rounds.
    command += ["--benchmark-max-time", str(seconds), "--benchmark-min-time", "0.001"]
    _checked(command)
    return float(json.loads(out.read_text(encoding="utf-8"))["benchmarks"][0]["extra_info"]["fps"])


def _bare(source: NetworkSource, case: Case, images: np.ndarray[Any, Any], seconds: int) -> float:
    """Time the same engine in a loop that does nothing else."""
    with open_engine(source, case) as opened:
        opened.engine.copy_in(images)
        warm_up(opened.engine)
        once = round_s(opened.engine, 1)
        return fps([round_s(opened.engine, 1) for _ in range(max(5, int(seconds / once)))], case.batch_size)


def _benchmark_app(model: Path, source: NetworkSource, case: Case, seconds: int) -> float:
    """Run OpenVINO's own tool on the same graph with the same threads, and read its median latency."""
    hint = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}[case.precision]
    shape = f"[{case.batch_size},1,{source.image_size[0]},{source.image_size[1]}]"
    tool = str(Path(sys.executable).parent / "benchmark_app")
    command = [tool, "-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1"]
    command += ["-nthreads", str(source.threads), "-infer_precision", hint, "-shape", shape, "-t", str(seconds)]
    found = re.search(r"Median:\s+([\d.]+) ms", _checked(command))
    if found is None:
        msg = f"benchmark_app of OpenVINO {ov.__version__} printed no median latency"
        raise RuntimeError(msg)
    return case.batch_size / (float(found[1]) / 1000)


def _checked(command: list[str]) -> str:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        output = (done.stdout + done.stderr)[-4000:]
        msg = f"{' '.join(command[:4])} ... failed with status {done.returncode}:\n{output}"
        raise RuntimeError(msg)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
