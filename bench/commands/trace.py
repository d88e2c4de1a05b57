"""Record an A/A trace: many fresh processes timing the same matrix, for `python -m bench selftest` to replay."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backend import UnavailableError, load_backend, names
from bench.case import Case
from bench.machine import this_machine
from bench.traces import record, save
from bench.workers import WorkerError

if TYPE_CHECKING:
    import argparse

_ROOT = Path(__file__).parents[2]
_NEIGHBOUR = (
    "import numpy as np\n"
    "from bench.timing import neighbour\n"
    "left = np.ones((1024, 1024), np.float32)\n"
    "neighbour(lambda: left @ left, {seed})\n"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--runs", type=int, default=30, help="process runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="file to write, such as fixtures/traces/NAME.json")
    parser.add_argument("--note", default="", help="what else was going on, kept in the file")
    parser.add_argument(
        "--neighbour", action="store_true", help="also run a process that computes in bursts of a few seconds"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where engines run (default: %(default)s)"
    )
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=128, help="pixels a side (default: %(default)s)")
    parser.add_argument("--precisions", default="fp32,fp16,int8", help="precisions to time (default: %(default)s)")
    parser.add_argument("--batch-sizes", default="1,2,4,8", help="batch sizes to time (default: %(default)s)")
    parser.add_argument("--exclude", default="torch_compile", help="backends to leave out (default: %(default)s)")
    parser.add_argument("--passes", type=int, default=3, help="visits to each case in a run (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.25, help="seconds of timing a visit (default: %(default)s)")
    parser.add_argument(
        "--cache-dir", type=Path, default=_ROOT / ".bench_cache", help="where engines are kept (default: .bench_cache)"
    )


def run(options: argparse.Namespace) -> int:
    """Record the runs, writing the file anew after each, and return the exit status."""
    cases = _cases(options)
    spec = {"cases": cases, "image_size": options.image_size, "model": options.model, "device": options.device}
    spec["cache_dir"] = str(options.cache_dir.resolve())
    origin: dict[str, Any] = {
        "recorded": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "machine": this_machine(options.device).as_dict(),
        "model": options.model,
        "image_size": options.image_size,
        "seconds_per_visit": options.seconds,
        "neighbour": "a process that multiplies matrices in bursts of 1 to 8 s" if options.neighbour else None,
        "note": options.note,
    }
    beside = _start_neighbour() if options.neighbour else None
    found = []
    try:
        for visits in record(spec, options.runs, options.passes, options.seconds, _say):
            found.append(visits)
            save(options.out, origin, found)
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if beside:
            beside.kill()
            beside.wait()
    print(f"{len(found)} runs of {len(cases)} cases in {options.out}, {options.out.stat().st_size // 1024} KiB")
    return 0


def _cases(options: argparse.Namespace) -> list[str]:
    """Return every case of the asked precisions and batch sizes that runs here."""
    found = []
    for name in names():
        if name in options.exclude.split(","):
            continue
        try:
            backend = load_backend(name)
        except UnavailableError:
            continue
        cases = [
            Case(name, precision, int(size))
            for precision in options.precisions.split(",")
            for size in options.batch_sizes.split(",")
        ]
        offered = [case for case in cases if case.precision in backend.PRECISIONS]
        found += [case.id for case in offered if backend.supports(case, options.device) is None]
    return found


def _start_neighbour() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _NEIGHBOUR.format(seed=0)], cwd=_ROOT)  # noqa: S603 - our own


def _say(text: str) -> None:
    print(text, flush=True)
