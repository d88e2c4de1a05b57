"""Settle whether B is slower than A: two processes hold engines warm and are timed in turns, ABBA, until sure."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.stats import binomtest

from bench.abba import BUDGET_S, MARGIN, PARTS, confirmed, measure
from bench.arguments import count, positive, share
from bench.builds import assumed
from bench.cache import DEFAULT_ROOT
from bench.case import parse_case
from bench.fingerprint import differences
from bench.sequential import differs
from bench.slowed import plain_case
from bench.workers import WorkerError, place_of, worker
from models.unet import check_size

if TYPE_CHECKING:
    import argparse

    from bench.abba import Settled
    from bench.workers import Client, Place

    Places = tuple[Place, Place]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--a", required=True, metavar="PLACE", help="a Python interpreter, or a checkout of the suite")
    parser.add_argument(
        "--b",
        required=True,
        metavar="PLACE",
        help="another interpreter or checkout, the one in question; where it runs another build of an engine than A, "
        "a builder that times kernels may have made it slower by luck",
    )
    parser.add_argument("--cases", required=True, help="cases to time, such as openvino-int8-b4,torch-fp32-b1")
    parser.add_argument(
        "--margin", type=share, default=MARGIN, help="share of the FPS that is no difference (default: %(default)s)"
    )
    parser.add_argument(
        "--budget", type=positive, default=BUDGET_S, help="seconds to spend on a case at most (default: %(default)s)"
    )
    parser.add_argument(
        "--slow-b", default="", metavar="HOW", help="slow B to try the method: sleep=SHARE, threads=N or reformat"
    )
    parser.add_argument(
        "--prove",
        type=count,
        metavar="N",
        help="N trials each of equal engines and of --slow-b, and count the verdicts",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where engines run (default: %(default)s)"
    )
    parser.add_argument("--model", default="unet-small", help="unet or unet-small (default: %(default)s)")
    parser.add_argument("--image-size", type=count, default=512, help="pixels a side (default: %(default)s)")
    parser.add_argument(
        "--cache-dir", type=Path, default=DEFAULT_ROOT, help="where engines are kept (default: .bench_cache)"
    )


def run(options: argparse.Namespace) -> int:
    """Print a verdict per case: exit 0 where B is slower in none, 1 where it is in one, 2 where none can be had."""
    try:
        check_size(options.image_size, options.image_size)
        cases = [parse_case(case).id for case in options.cases.split(",")]
        places = place_of(options.a), place_of(options.b)
        slowed = {case: f"{case}@{options.slow_b}" if options.slow_b else case for case in cases}
        for name in slowed.values():
            plain_case(name)
        if options.prove:
            _prove(places, slowed, options)
            return 0
        slower = [_told(case, _confirmed(places, (case, slowed[case]), options)) for case in cases]
    except (WorkerError, ValueError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    return 1 if any(slower) else 0


def _confirmed(places: Places, names: tuple[str, str], options: argparse.Namespace, *, quiet: bool = False) -> Settled:
    """Return what two pairs of processes say, the first of which names how they differ."""
    first = _once(places, names, options, options.budget, quiet=quiet)
    return confirmed(first, lambda budget_s: _once(places, names, options, budget_s, quiet=True), options.budget)


def _once(
    places: Places, names: tuple[str, str], options: argparse.Namespace, budget_s: float, *, quiet: bool
) -> Settled:
    """Start a process for A and one for B, and time them in turns until sure or out of budget."""
    with ExitStack() as stack:
        specs = (_spec(options, name) for name in names)
        a, b = (stack.enter_context(worker(place, spec)) for place, spec in zip(places, specs, strict=True))
        a.need(names[0], f"in A ({options.a})")
        b.need(names[1], f"in B ({options.b})")
        if not quiet:
            _print_differences(a, b)
        return measure(
            lambda seconds: a.visit(names[0], seconds, canary=False),
            lambda seconds: b.visit(names[1], seconds, canary=False),
            options.margin,
            budget_s,
        )


def _told(case: str, found: Settled) -> bool:
    """Print the verdict on a case, and return whether B is slower."""
    ratio, low, high = (value - 1 for value in (found.interval.ratio, found.interval.low, found.interval.high))
    verdict = f"is {found.verdict}" if found.verdict else "is not settled"
    by = "" if found.rounds == "fastest" else " by the median rounds, not by the fastest"
    change = f"{ratio:+.1%} FPS ({low:+.1%} to {high:+.1%}){by}"
    print(f"{case:32} B {verdict}: {change}, {found.pairs} pairs, {found.seconds:.0f} s", flush=True)
    if differs(found.verdict) and assumed(case):
        print(
            f"- of these engines: if they are two builds, luck alone makes such differ by {assumed(case):.1%} (standard"
            " deviation), and another --cache-dir builds both anew",
            flush=True,
        )
    return found.verdict == "slower"


def _prove(places: Places, slowed: dict[str, str], options: argparse.Namespace) -> None:
    """Print how often equal engines are called different, and a slowed one slower, in repeated real trials."""
    if not options.slow_b:
        msg = "--prove needs --slow-b HOW, such as sleep=0.02"
        raise ValueError(msg)
    for case, slow in slowed.items():
        kinds: dict[str, list[Settled]] = {case: [], slow: []}
        for trial in range(options.prove):
            for name, found in kinds.items():
                found.append(_confirmed(places, (case, name), options, quiet=True))
                print(
                    f"trial {trial + 1} of {options.prove}: {name:40} {found[-1].verdict or 'not settled'}", flush=True
                )
        wrong = sum(differs(each.verdict) for each in kinds[case])
        print(f"{case}: equal engines called different in {_rate(wrong, options.prove)}")
        for part in PARTS:
            within_s = part * options.budget
            seen = sum(each.verdict == "slower" and each.seconds <= within_s for each in kinds[slow])
            print(f"{slow}: called slower within {within_s:.0f} s in {_rate(seen, options.prove)}")


def _rate(count: int, trials: int) -> str:
    """Return a count with its 95 % interval (Clopper and Pearson 1934)."""
    interval = binomtest(count, trials).proportion_ci(0.95)
    return f"{count} of {trials} trials ({count / trials:.0%}, 95 % interval {interval.low:.0%} to {interval.high:.0%})"


def _spec(options: argparse.Namespace, case: str) -> dict[str, Any]:
    return {
        "cases": [case],
        "image_size": options.image_size,
        "model": options.model,
        "device": options.device,
        "cache_dir": str(options.cache_dir.resolve()),
        "tolerant": True,
    }


def _print_differences(a: Client, b: Client) -> None:
    old, new = ({**machine, "versions": machine["runtimes"]} for machine in (a.machine(), b.machine()))
    found = differences(old, new)
    for line in dict.fromkeys([*found.speed, *found.accuracy, *found.named]):
        print(f"- {line}")
