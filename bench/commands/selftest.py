"""Replay the recorded traces: how often the gate cries wolf and how small a loss it sees, beside other rules."""

from __future__ import annotations

import random
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import turns
from bench.abba import BUDGET_S, PARTS
from bench.arguments import count, file_to_write
from bench.injected import score_injected
from bench.outputs import write_whole
from bench.replay import GATE, SIZES, curve, score
from bench.speed import MOST_RUNS
from bench.traces import Trace, TraceError, load
from bench.turns import Turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from bench.replay import Score

_TRACES = Path(__file__).parents[2] / "fixtures" / "traces"
_WITHIN_S = [part * BUDGET_S for part in PARTS]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("traces", type=Path, nargs="*", help="trace files (default: all in fixtures/traces)")
    parser.add_argument("--trials", type=count, default=400, help="replays per trace (default: %(default)s)")
    parser.add_argument("--baseline-runs", type=count, default=5, help="runs in the baseline (default: %(default)s)")
    parser.add_argument("--runs", type=count, default=MOST_RUNS, help="runs the gate may take (default: %(default)s)")
    parser.add_argument("--curve", action="store_true", help="also show what more or fewer runs do to the gate's rates")
    parser.add_argument("--out", type=file_to_write, help="write the Markdown to this file too")


def run(options: argparse.Namespace) -> int:
    """Print tables per trace, in Markdown; 0, or 2 where there is none to replay."""
    paths = options.traces or sorted(_TRACES.glob("*.json"))
    try:
        found = [turns.load(path) if turns.is_turns(path) else load(path) for path in paths]
        traces = [each for each in found if isinstance(each, Trace)]
        taken = [each for each in found if isinstance(each, Turns)]
        for trace in traces:
            if len(trace.runs) < options.baseline_runs + options.runs:
                asked = f"a baseline of {options.baseline_runs} and {options.runs} to judge"
                msg = f"{trace.name}: {len(trace.runs)} runs are too few for {asked}"
                raise TraceError(msg)
    except TraceError as error:
        print(error, file=sys.stderr)
        return 2
    if not traces and not taken:
        print(f"no traces in {_TRACES}: python -m bench trace records one", file=sys.stderr)
        return 2
    told = []
    for lines in (*(_report(trace, options) for trace in traces), *(_ab(each, options.trials) for each in taken)):
        for line in lines:
            print(line, flush=True)
            told.append(line)
    if options.out:
        write_whole(options.out, "".join(f"{line}\n" for line in told).encode())
    return 0


def _report(trace: Trace, options: argparse.Namespace) -> Iterable[str]:
    """Yield one trace's tables, line by line."""
    yield _title(trace, options)
    yield ""
    seconds = float(trace.origin["seconds_per_visit"]) * len(trace.runs[0][trace.cases[0]])
    yield from _table("rule", score(trace, options.trials, options.baseline_runs, options.runs), seconds)
    yield from _injected(trace, options)
    if options.curve:
        yield from _table("baseline and judged runs", curve(trace, options.trials), seconds)


def _ab(taken: Turns, trials: int) -> Iterable[str]:
    """Yield a table of what `ab` says of recorded pairs of processes, with a loss put into one of them."""
    seconds = statistics.fmean(pair.seconds for pair in taken.pairs)
    where = f"ab {taken.case}, {len(taken.pairs)} pairs of processes of {seconds:.0f} s on {_place(taken.origin)}"
    yield f"**{taken.name}**: {where}; {trials} replays, budget {BUDGET_S:.0f} s"
    yield ""
    told = " | ".join(f"slower within {part:.0f} s" for part in _WITHIN_S)
    yield f"| FPS lost | {told} | faster | the same | seconds |"
    yield f"|---|{'---|' * (len(_WITHIN_S) + 3)}"
    for loss in turns.LOSSES:
        draw = random.Random(0)  # noqa: S311 - not for secrets
        found = [turns.replay(taken, loss, BUDGET_S, draw) for _ in range(trials)]
        cells = [sum(each.verdict == "slower" and each.seconds <= part for each in found) for part in _WITHIN_S]
        cells += [sum(each.verdict == word for each in found) for word in ("faster", "same")]
        shares = " | ".join(f"{cell / trials:.1%}" for cell in cells)
        yield f"| {loss:.0%} | {shares} | {statistics.fmean(each.seconds for each in found):.0f} |"
    yield ""


def _place(origin: Mapping[str, Any]) -> str:
    machine = origin["machine"]
    told = "; ".join(str(part) for part in (origin["neighbour"], origin["note"]) if part)
    place = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    return f"{place}, {origin['recorded'][:10]}{f' ({told})' if told else ''}"


def _title(trace: Trace, options: argparse.Namespace) -> str:
    where = f"{len(trace.runs)} runs of {len(trace.cases)} cases on {_place(trace.origin)}"
    how = f"{options.trials} replays, baseline of {options.baseline_runs} runs, up to {options.runs} judged"
    spreads = sorted(trace.spreads().values())
    spread = f"spread between runs {spreads[0]:.1%} to {spreads[-1]:.1%}, middle {spreads[len(spreads) // 2]:.1%}"
    return f"**{trace.name}**: {where}; {spread}; {how}"


def _table(head: str, scores: Iterable[Score], seconds: float) -> Iterable[str]:
    """Yield a table of scores; `seconds` are those of timing a case in one run."""
    yield f"| {head} | false alarms per matrix | {' | '.join(f'-{size:.0%} seen' for size in SIZES)} | timing a case |"
    yield f"|---|{'---|' * (len(SIZES) + 2)}"
    for each in scores:
        seen = " | ".join(f"{each.detected[size]:.0%}" for size in SIZES)
        name = f"**{each.rule}**" if each.rule == GATE else each.rule
        yield f"| {name} | {each.false_alarms:.1%} | {seen} | {each.runs * seconds:.1f} s |"
    yield ""


def _injected(trace: Trace, options: argparse.Namespace) -> Iterable[str]:
    """Yield a table of what was really done to engines and machine; nothing where nothing was."""
    found = score_injected(trace, options.trials, options.baseline_runs, options.runs)
    if not found:
        return
    yield "| really done | FPS it cost | process runs | flagged |"
    yield "|---|---|---|---|"
    for each in found:
        cost = "nothing of its own" if each.loss is None else f"{-each.loss:+.1%}"
        yield f"| {each.name} | {cost} | {each.runs} | {each.flagged:.1%} |"
    yield ""
