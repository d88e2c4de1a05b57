"""Replay the recorded traces: how often the gate cries wolf and how small a loss it sees, beside other rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.replay import GATE, SIZES, score
from bench.traces import TraceError, load

if TYPE_CHECKING:
    import argparse

    from bench.replay import Score
    from bench.traces import Trace

_TRACES = Path(__file__).parents[2] / "fixtures" / "traces"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("traces", type=Path, nargs="*", help="trace files (default: all in fixtures/traces)")
    parser.add_argument("--trials", type=int, default=400, help="replays per trace (default: %(default)s)")
    parser.add_argument("--baseline-runs", type=int, default=3, help="runs in the baseline (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print a table per trace; 0, or 2 where there is none to replay."""
    paths = options.traces or sorted(_TRACES.glob("*.json"))
    try:
        traces = [load(path) for path in paths]
        for trace in traces:
            if len(trace.runs) <= options.baseline_runs:
                msg = f"{trace.name}: {len(trace.runs)} runs, and a baseline of {options.baseline_runs} leaves none"
                raise TraceError(msg)
    except TraceError as error:
        print(error, file=sys.stderr)
        return 2
    if not traces:
        print(f"no traces in {_TRACES}: python -m bench trace records one", file=sys.stderr)
        return 2
    for trace in traces:
        print("\n".join(_table(trace, score(trace, options.trials, options.baseline_runs), options)))
    return 0


def _table(trace: Trace, scores: list[Score], options: argparse.Namespace) -> list[str]:
    """Return a Markdown table of one trace's scores, with where it was recorded."""
    origin = trace.origin
    machine = origin["machine"]
    place = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    told = "; ".join(str(part) for part in (origin["neighbour"], origin["note"]) if part)
    seconds = float(origin["seconds_per_visit"])
    where = f"{len(trace.runs)} runs of {len(trace.cases)} cases on {place}, {origin['recorded'][:10]}"
    how = f"{options.trials} replays, baseline of {options.baseline_runs} runs"
    lines = [
        f"**{trace.name}**: {where}{f' ({told})' if told else ''}; {how}",
        "",
        f"| rule | false alarms per matrix | {' | '.join(f'-{size:.0%} seen' for size in SIZES)} | timing a case |",
        f"|---|{'---|' * (len(SIZES) + 2)}",
    ]
    for each in scores:
        seen = " | ".join(f"{each.detected[size]:.0%}" for size in SIZES)
        name = f"**{each.rule}**" if each.rule == GATE else each.rule
        lines.append(f"| {name} | {each.false_alarms:.1%} | {seen} | {each.visits * seconds:.1f} s |")
    return [*lines, ""]
