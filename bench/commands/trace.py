"""Record an A/A trace: many fresh processes timing the same matrix, for `python -m bench selftest` to replay."""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import turns
from bench.arguments import count, counts, device, file_to_write, positive
from bench.backend import UnavailableError, load_backend, names
from bench.cache import DEFAULT_ROOT
from bench.case import PRECISIONS, Case
from bench.machine import physical_cores, this_machine
from bench.neighbour import HOW, beside
from bench.recording import Recorder
from bench.slowed import plain_case
from bench.status import INTERRUPTED
from bench.timing import Stopwatch
from bench.traces import TraceError, load, save
from bench.workers import WorkerError
from models.unet import check_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from bench.neighbour import Neighbour
    from bench.traces import Run

_SIZES = {"cpu": 64, "cuda": 256}
_SAME = ("case", "machine", "model", "image_size", "seconds_per_visit", "passes", "neighbour")
"""What of a trace's origin must be alike for runs to be added to it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--runs", type=count, default=30, help="process runs (default: %(default)s)")
    parser.add_argument(
        "--out", type=file_to_write, required=True, help="file to write, such as fixtures/traces/NAME.json"
    )
    parser.add_argument("--append", action="store_true", help="go on with the file until it holds so many runs")
    parser.add_argument("--note", default="", help="what else was going on, kept in the file")
    parser.add_argument(
        "--neighbour", action="store_true", help="also run a process that computes in bursts of a few seconds"
    )
    parser.add_argument(
        "--device",
        type=device,
        choices=("cpu", "cuda"),
        default="cpu",
        help="where engines run (default: %(default)s)",
    )
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument("--image-size", type=count, help="pixels a side (default: 64 on a CPU, 256 on a GPU)")
    parser.add_argument("--cases", help="exactly these, such as torch-fp32-b1,openvino-int8-b4")
    parser.add_argument("--backends", help="those to record (default: all but the excluded)")
    parser.add_argument("--exclude", default="torch_compile", help="backends to leave out (default: %(default)s)")
    parser.add_argument("--precisions", default="fp32,fp16,int8", help="default: %(default)s")
    parser.add_argument("--batch-sizes", type=counts, default="1,2,4,8", help="default: %(default)s")
    parser.add_argument(
        "--turns", metavar="CASE", help="instead of runs of a matrix, record pairs of processes of this case as ab does"
    )
    parser.add_argument(
        "--pair-seconds",
        type=positive,
        default=120.0,
        help="with --turns, how long a pair is timed (default: %(default)s)",
    )
    parser.add_argument("--passes", type=count, default=3, help="visits to each case in a run (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=positive, default=0.1, help="seconds of timing a visit (default: %(default)s)"
    )
    parser.add_argument("--inject", metavar="CASE", help="time this case slowed on purpose too, in several ways")
    parser.add_argument(
        "--disturbed", type=int, default=0, metavar="N", help="record N more runs with a neighbour from half-way on"
    )
    parser.add_argument("--cache-dir", type=Path, default=DEFAULT_ROOT, help="default: .bench_cache")


def run(options: argparse.Namespace) -> int:
    """Record the runs, writing the file anew after each, and return the exit status."""
    options.image_size = options.image_size or _SIZES[options.device]
    try:
        check_size(options.image_size, options.image_size)
        origin = _origin(options)
        with ExitStack() as stack:
            other = stack.enter_context(beside(options.device, "bursts") if options.neighbour else nullcontext())
            if other:
                other.begin()
            if options.turns:
                return _turns(options, origin, other)
            cases, runs, disturbed = _begun(options, origin)
            _say(f"{len(cases)} cases; the first run builds the engines that the cache lacks")
            recorder = Recorder(_spec(options, cases), options.passes, options.seconds, _say)
            _record(options, origin, recorder, runs, disturbed, other)
    except (WorkerError, TraceError, UnavailableError, OSError, ValueError) as error:
        print(f"cannot record: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        left = f"{options.out} holds what was recorded: --append goes on with it"
        print(f"stopped; {left if options.out.exists() else 'nothing was recorded yet'}", file=sys.stderr)
        return INTERRUPTED
    size = options.out.stat().st_size // 1024
    print(f"{len(runs)} runs and {len(disturbed)} disturbed ones of {len(runs[0])} cases in {options.out}, {size} KiB")
    return 0


def _turns(options: argparse.Namespace, origin: dict[str, Any], other: Neighbour | None) -> int:
    """Record pairs of processes timed in turns, writing the file anew after each, as long as a neighbour lives."""
    case = plain_case(options.turns)[0].id
    pairs: list[turns.Pair] = []
    if options.append and options.out.exists():
        held = turns.load(options.out, least=1)
        _check_alike(options.out, {**held.origin, "case": held.case}, {**origin, "case": case})
        origin.update(held.origin)
        pairs += held.pairs
    spec = _spec(options, [case])
    spec.pop("warm_up_s")  # as long as for `ab`
    while len(pairs) < options.runs:
        found = turns.record(spec, options.pair_seconds)
        if other:
            other.check()
        pairs.append(found)
        turns.save(options.out, origin, case, pairs)
        _say(f"  {len(pairs)} of {options.runs} pairs")
    print(f"{len(pairs)} pairs of processes of {case} in {options.out}, {options.out.stat().st_size // 1024} KiB")
    return 0


def _check_alike(path: Path, held: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
    unlike = [name for name in _SAME if held.get(name) != origin.get(name)]
    if unlike:
        msg = f"{path}: its {', '.join(unlike)} is another than now; record to another file"
        raise TraceError(msg)


def _record(
    options: argparse.Namespace,
    origin: dict[str, Any],
    recorder: Recorder,
    runs: list[Run],
    disturbed: list[Run],
    other: Neighbour | None,
) -> None:
    """Add process runs to both lists until there are as many as asked for, as long as a neighbour lives."""
    watch = Stopwatch()
    while len(runs) < options.runs or len(disturbed) < options.disturbed:
        # In turn, so that both kinds see the same hours of the machine.
        shaken = len(runs) > 0 and len(disturbed) * options.runs < len(runs) * options.disturbed
        found = recorder.run(disturbed=shaken)
        if other:
            other.check()
        if found:
            (disturbed if shaken else runs).append(found)
            save(options.out, origin, runs, disturbed)
            _say(f"  {len(runs)} of {options.runs} runs, {len(disturbed)} disturbed, {watch.elapsed_s:.0f} s in all")


def _begun(options: argparse.Namespace, origin: dict[str, Any]) -> tuple[list[str], list[Run], list[Run]]:
    """Return the cases to record and the runs there are already; `TraceError` where the file is of something else."""
    if not (options.append and options.out.exists()):
        return _cases(options), [], []
    trace = load(options.out)
    _check_alike(options.out, trace.origin, origin)
    origin.update(trace.origin)
    return list(trace.measured), list(trace.runs), list(trace.disturbed)


def _origin(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "recorded": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "machine": this_machine(options.device).as_dict(),
        "model": options.model,
        "image_size": options.image_size,
        "passes": options.passes,
        "seconds_per_visit": options.seconds,
        "neighbour": f"a process that {HOW['bursts']}" if options.neighbour else None,
        "note": options.note,
    }


def _spec(options: argparse.Namespace, cases: list[str]) -> dict[str, Any]:
    return {
        "cases": cases,
        "image_size": options.image_size,
        "model": options.model,
        "device": options.device,
        "cache_dir": str(options.cache_dir.resolve()),
        "warm_up_s": 0.05,
        "tolerant": True,
    }


def _cases(options: argparse.Namespace) -> list[str]:
    """Return every case that was asked for and runs here, slowed ones at the end; `ValueError` where there is none."""
    found = [plain_case(case)[0].id for case in options.cases.split(",")] if options.cases else _swept(options)
    if not found:
        msg = f"no case of {options.backends or 'any backend'} runs here on {options.device}"
        raise ValueError(msg)
    if options.inject:
        case, _ = plain_case(options.inject)
        ways = ["sleep=0.02", "sleep=0.05", "sleep=0.1", "reformat"]
        if options.device == "cpu" and physical_cores() > 1:
            ways.append(f"threads={physical_cores() - 1}")
        found = [*dict.fromkeys([*found, case.id]), *(f"{case}@{way}" for way in ways)]
    return found


def _swept(options: argparse.Namespace) -> list[str]:
    precisions = options.precisions.split(",")
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        msg = f"--precisions {','.join(unknown)}: there are {', '.join(PRECISIONS)}"
        raise ValueError(msg)
    left_out = () if options.backends else options.exclude.split(",")
    found = []
    for name in options.backends.split(",") if options.backends else names():
        if name in left_out:
            continue
        try:
            backend = load_backend(name)
        except UnavailableError:
            if options.backends:
                raise
            continue
        cases = [Case(name, precision, size) for precision in precisions for size in options.batch_sizes]
        offered = [case for case in cases if case.precision in backend.PRECISIONS]
        found += [case.id for case in offered if backend.supports(case, options.device) is None]
    return found


def _say(text: str) -> None:
    print(text, flush=True)
