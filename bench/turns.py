"""Turns of pairs of processes of one engine, timed as `ab` times them: recorded, and replayed with a loss put in."""

from __future__ import annotations

import itertools
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.abba import MARGIN, TURN_S, confirmed, measure
from bench.timing import Stopwatch
from bench.traces import TraceError, microseconds, write_lines
from bench.visits import Visit
from bench.workers import HERE, worker

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.abba import Settled

KIND = "turns"
LOSSES = (0.0, 0.01, 0.02, 0.05)
"""Losses of FPS that are put in; 0: nothing is."""
_ABBA = (0, 1, 1, 0)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes of one engine, timed in turns for a while."""

    turns: tuple[tuple[float, float], ...]
    """Seconds of each turn's fastest and median rounds, A B B A A B B A."""
    seconds: float
    """How long it all took."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Pairs that were started anew one after another."""

    name: str
    origin: Mapping[str, Any]
    case: str
    pairs: tuple[Pair, ...]


class _Told(Stopwatch):
    """The clock of a replay."""

    now_s = 0.0

    @property
    def elapsed_s(self) -> float:
        return self.now_s


def record(spec: Mapping[str, Any], seconds: float) -> Pair:
    """Start two processes of a spec's one case, time them in turns so many seconds; `WorkerError` where one ends."""
    (case,) = spec["cases"]
    with ExitStack() as stack:
        clients = [stack.enter_context(worker(HERE, spec)) for _ in "AB"]
        clients[0].need(case)
        watch, turns = Stopwatch(), []
        while watch.elapsed_s < seconds:
            for which in _ABBA:
                visit = clients[which].visit(case, TURN_S, canary=False)
                turns.append((visit.fastest_s, visit.median_s))
        return Pair(tuple(turns), watch.elapsed_s)


def save(path: Path, origin: Mapping[str, Any], case: str, pairs: Sequence[Pair]) -> None:
    """Write pairs in one step, times in microseconds, a pair to a line."""
    lines = [
        [round(pair.seconds, 3), [[microseconds(value) for value in turn] for turn in pair.turns]] for pair in pairs
    ]
    write_lines(path, {"schema": 1, "kind": KIND, "origin": dict(origin), "case": case}, {"pairs": lines})


def is_turns(path: Path) -> bool:
    """Return whether a file says that it holds turns."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["kind"] == KIND)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load(path: Path, least: int = 2) -> Turns:
    """Return the turns in a file; `TraceError` when it holds none, or fewer pairs than a replay takes."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        pairs = tuple(
            Pair(tuple((fastest / 1e6, median / 1e6) for fastest, median in turns), float(seconds))
            for seconds, turns in data["pairs"]
        )
        found = Turns(path.stem, data["origin"], str(data["case"]), pairs)
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: no turns ({type(error).__name__}: {error}); python -m bench trace --turns CASE records some"
        raise TraceError(msg) from error
    if len(pairs) < least:
        msg = f"{path}: {len(pairs)} pair of processes; a replay takes {least}"
        raise TraceError(msg)
    return found


def replay(turns: Turns, loss: float, budget_s: float, draw: random.Random) -> Settled:
    """Return what `ab` would have said of two of the pairs, from some moment of each on, had B lost this share."""
    pairs = iter(draw.sample(turns.pairs, 2))

    def once(budget_s: float) -> Settled:
        pair, watch = next(pairs), _Told()
        a, b = _engines(pair, draw.randrange(0, len(pair.turns), len(_ABBA)), loss, watch)
        return measure(a, b, MARGIN, budget_s, watch)

    return confirmed(once(budget_s), once, budget_s)


def _engines(
    pair: Pair, start: int, loss: float, watch: _Told
) -> tuple[Callable[[float], Visit], Callable[[float], Visit]]:
    """Return what times A and B from a turn on; after the last comes the first again."""
    turns: Iterator[tuple[float, float]] = itertools.cycle([*pair.turns[start:], *pair.turns[:start]])
    step_s = pair.seconds / len(pair.turns)

    def engine(factor: float) -> Callable[[float], Visit]:
        def visit(_: float) -> Visit:
            watch.now_s += step_s
            fastest, median = (value * factor for value in next(turns))
            return Visit((fastest, median, median), None)

        return visit

    return engine(1.0), engine(1 / (1 - loss))
