"""How runs become the standard: at least three, whole, alike, and with a reason where they are worse than before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.entries import Baseline, entries_of
from bench.fingerprint import differences
from bench.gate import judge_run
from bench.judged_runs import unlike
from bench.status import BAD, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.entries import Acceptance, BaselineEntry, Waiver
    from bench.results import Run

LEAST_RUNS = 3
"""Fewer process runs say nothing of how far they differ."""


class AcceptError(ValueError):
    """Runs that cannot become a baseline; the text says why and what to do."""


def accept(baseline: Baseline | None, runs: Sequence[Run], accepted: Acceptance) -> Baseline:
    """Return the baseline with these runs in it; `AcceptError` when they are too few, broken, unlike or worse.

    A case's former record becomes its previous one, and its first stays its anchor. Other entries are kept.
    """
    _check(runs)
    first = runs[0]
    machine = dict(first.suite["machine"])
    if baseline:
        _check_machine(baseline, first)
    _check_worse(baseline, runs, accepted)
    entries = dict(baseline.entries) if baseline else {}
    for entry in entries_of(runs, accepted):
        entries[entry.key] = _after(entries.get(entry.key), entry)
    return Baseline(machine, entries, baseline.waivers if baseline else ())


def narrowed(runs: Sequence[Run], cases: Sequence[str]) -> list[Run]:
    """Return the runs as if they had measured these cases alone; `AcceptError` for one that a run did not measure."""
    for number, run in enumerate(runs, 1):
        absent = [case for case in cases if case not in run.rows and case not in run.failed]
        if absent:
            msg = f"run {number} did not measure {', '.join(absent)}; it holds {', '.join(sorted(run.rows))}"
            raise AcceptError(msg)
    return [
        replace(
            run,
            rows={case: row for case, row in run.rows.items() if case in cases},
            failed={case: why for case, why in run.failed.items() if case in cases},
            skipped={},
            selected=tuple(cases),
        )
        for run in runs
    ]


def pinned(baseline: Baseline, cases: Sequence[str]) -> Baseline:
    """Return the baseline with these cases' present records as their anchors; `AcceptError` for an unknown case."""
    _check_held(baseline, cases)
    entries = {
        key: replace(entry, anchor=None) if entry.case in cases else entry for key, entry in baseline.entries.items()
    }
    return replace(baseline, entries=entries)


def dropped(baseline: Baseline, cases: Sequence[str]) -> Baseline:
    """Return the baseline without these cases, which are then no longer missed; `AcceptError` for an unknown case."""
    _check_held(baseline, cases)
    entries = {key: entry for key, entry in baseline.entries.items() if entry.case not in cases}
    waivers = tuple(waiver for waiver in baseline.waivers if waiver.case not in cases)
    return replace(baseline, entries=entries, waivers=waivers)


def waived(baseline: Baseline, waiver: Waiver) -> Baseline:
    """Return the baseline with this waiver in place of the case's former one; `AcceptError` for an unknown case."""
    _check_held(baseline, [waiver.case])
    others = [other for other in baseline.waivers if other.case != waiver.case]
    return replace(baseline, waivers=tuple(sorted([*others, waiver], key=lambda each: each.case)))


def _after(old: BaselineEntry | None, new: BaselineEntry) -> BaselineEntry:
    if old is None:
        return new
    return replace(new, previous=old.current, anchor=old.anchor or old.current)


def _check(runs: Sequence[Run]) -> None:
    """Raise unless these are enough whole runs of one thing."""
    if len(runs) < LEAST_RUNS:
        msg = f"{len(runs)} runs: at least {LEAST_RUNS} are needed, each of a process of its own (make baseline)"
        raise AcceptError(msg)
    if len({run.suite.get("checksum") for run in runs}) < len(runs):
        msg = "the same run is given twice: each must be of a process of its own"
        raise AcceptError(msg)
    first = runs[0]
    for number, run in enumerate(runs, 1):
        if run.failed:
            case, reason = next(iter(run.failed.items()))
            msg = f"run {number} has a failed case, {case} ({reason}): a failing run cannot become a baseline"
            raise AcceptError(msg)
        if not run.rows:
            msg = f"run {number} measured nothing"
            raise AcceptError(msg)
        if run.rows.keys() != first.rows.keys():
            odd = ", ".join(sorted(run.rows.keys() ^ first.rows.keys()))
            msg = f"runs 1 and {number} did not measure the same cases: {odd}"
            raise AcceptError(msg)
        why = unlike(first, run, versions=True)
        if why:
            msg = f"runs 1 and {number} differ in more than noise: {why}"
            raise AcceptError(msg)


def _check_machine(baseline: Baseline, run: Run) -> None:
    found = differences(baseline.machine, run.suite["machine"])
    if found.speed or found.accuracy:
        words = ", ".join(dict.fromkeys([*found.speed, *found.accuracy]))
        msg = f"these runs are of another machine than the baseline ({words}): store them in a file of their own"
        raise AcceptError(msg)


def _check_worse(baseline: Baseline | None, runs: Sequence[Run], accepted: Acceptance) -> None:
    """Raise when runs are worse than the baseline or than what is asked of each precision, and nobody says why."""
    worse: dict[str, str] = {}
    for run in runs:
        # Speed is of all runs together whichever comes first, but the masks are each run's own.
        verdicts = judge_run(run, baseline, others=[other for other in runs if other is not run])
        for verdict in verdicts:
            if verdict.status in BAD - {Status.MISSING}:
                worse.setdefault(verdict.case, verdict.evidence)
    if worse and not accepted.why:
        lines = "\n".join(f"  {case}: {evidence}" for case, evidence in sorted(worse.items()))
        what = "worse than the baseline" if baseline else "too far from FP32"
        msg = f'these runs are {what}; accept them with --reason "..." if that is meant:\n{lines}'
        raise AcceptError(msg)


def _check_held(baseline: Baseline, cases: Sequence[str]) -> None:
    held = {entry.case for entry in baseline.entries.values()}
    unknown = [case for case in cases if case not in held]
    if unknown:
        msg = f"the baseline holds no {', '.join(unknown)}; it holds {', '.join(sorted(held))}"
        raise AcceptError(msg)
