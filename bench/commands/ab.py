"""Settle whether B is slower than A: two processes hold engines warm and are timed in turns, ABBA, until sure."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.abba import measure
from bench.case import parse_case
from bench.fingerprint import differences
from bench.slowed import plain_case
from bench.workers import WorkerError, place_of, worker

if TYPE_CHECKING:
    import argparse

    from bench.workers import Client

_ROOT = Path(__file__).parents[2]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--a", required=True, metavar="PLACE", help="a Python interpreter, or a checkout of the suite")
    parser.add_argument(
        "--b", required=True, metavar="PLACE", help="another interpreter or checkout, the one in question"
    )
    parser.add_argument("--cases", required=True, help="cases to time, such as openvino-int8-b4,torch-fp32-b1")
    parser.add_argument(
        "--margin", type=float, default=0.01, help="share of the FPS that is no difference (default: %(default)s)"
    )
    parser.add_argument(
        "--budget", type=float, default=120.0, help="seconds to spend on a case at most (default: %(default)s)"
    )
    parser.add_argument(
        "--slow-b", default="", metavar="HOW", help="slow B to try the method: sleep=SHARE, threads=N or reformat"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where engines run (default: %(default)s)"
    )
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=512, help="pixels a side (default: %(default)s)")
    parser.add_argument(
        "--cache-dir", type=Path, default=_ROOT / ".bench_cache", help="where engines are kept (default: .bench_cache)"
    )


def run(options: argparse.Namespace) -> int:
    """Print a verdict per case: exit 0 where B is slower in none, 1 where it is in one, 2 where none can be had."""
    try:
        cases = [parse_case(case).id for case in options.cases.split(",")]
        places = place_of(options.a), place_of(options.b)
        slower = False
        for case in cases:
            slowed = f"{case}@{options.slow_b}" if options.slow_b else case
            plain_case(slowed)
            with ExitStack() as stack:
                a, b = (
                    stack.enter_context(worker(place, _spec(options, name)))
                    for place, name in zip(places, (case, slowed), strict=True)
                )
                _print_differences(a, b)
                slower |= _settled(case, a, b, options)
    except (WorkerError, ValueError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    return 1 if slower else 0


def _settled(case: str, a: Client, b: Client, options: argparse.Namespace) -> bool:
    """Time one case until sure or out of budget, print the verdict, and return whether B is slower."""
    found = measure(
        lambda seconds: a.visit(case, seconds, canary=False),
        lambda seconds: b.visit(case, seconds, canary=False),
        options.margin,
        options.budget,
    )
    ratio, low, high = (value - 1 for value in (found.interval.ratio, found.interval.low, found.interval.high))
    verdict = f"is {found.verdict}" if found.verdict else "is not settled"
    change = f"{ratio:+.1%} FPS ({low:+.1%} to {high:+.1%})"
    print(f"{case:32} B {verdict}: {change}, {found.pairs} pairs, {found.seconds:.0f} s", flush=True)
    return found.verdict == "slower"


def _spec(options: argparse.Namespace, case: str) -> dict[str, Any]:
    return {
        "cases": [case],
        "image_size": options.image_size,
        "model": options.model,
        "device": options.device,
        "cache_dir": str(options.cache_dir.resolve()),
    }


def _print_differences(a: Client, b: Client) -> None:
    old, new = ({**machine, "versions": machine["runtimes"]} for machine in (a.machine(), b.machine()))
    found = differences(old, new)
    for line in dict.fromkeys([*found.speed, *found.accuracy, *found.named]):
        print(f"- {line}")
